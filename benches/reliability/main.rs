//! Chaos at length, and the figures about faults: each one command that says how often, how long, and whether the goal
//! was reached. `docs/reliability.md` has the goals and what was measured.
//!
//! ```text
//! cargo bench --bench reliability -- chaos                     20,000 jobs, 600 faults
//! cargo bench --bench reliability -- chaos --jobs 500 --faults 30 --broker-kills 2 --seconds 60
//! cargo bench --bench reliability -- --help                    the figures
//! ```
//!
//! Apart from the stories because it takes long, and because a figure depends on the machine. Exit code 1 says that
//! a promise was broken or a goal missed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chaos::bite::Net;
use chaos::figures::{self, Figure};
use clap::{Args, Parser, Subcommand};
use drill::{Carrier, Options, Settings};

#[derive(Parser)]
#[command(about = "Chaos at length, and the figures about faults")]
struct Typed {
    #[command(subcommand)]
    what: What,
    /// cargo says this to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Jobs under random faults, and the check that no promise was broken.
    Chaos(Chaos),
    /// From the SIGKILL of a runner to the next start of its job: p50 up to 600 ms, p99 up to 1 s.
    KilledRunner {
        #[arg(long, default_value_t = 100)]
        times: usize,
    },
    /// From SIGSTOP, partition or half-open line to the next start: p99 up to 20 s, the late result refused.
    FrozenRunner {
        #[arg(long, default_value_t = 30)]
        times: usize,
    },
    /// The broker dies under running jobs: all go on, and all roles consume again within 5 s.
    BrokerRestart {
        #[arg(long, default_value_t = 20)]
        jobs: usize,
        #[arg(long, default_value_t = 1)]
        times: usize,
    },
    /// SIGTERM at the instant of delivery: no attempt is lost.
    StopRace {
        #[arg(long, default_value_t = 200)]
        times: usize,
    },
    /// SIGKILL of a runner: no process of its job after 2 s.
    Orphans {
        #[arg(long, default_value_t = 200)]
        times: usize,
    },
    /// Steady work: memory of each role grows by 3 % at most, descriptors by 4.
    Soak {
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Minutes before the first sample.
        #[arg(long, default_value_t = 5.0)]
        warm_up: f64,
        /// Jobs in a second.
        #[arg(long, default_value_t = 20)]
        rate: usize,
    },
    /// Each net for a planted defect: silent on the sound program, loud on the other. Needs `--features defects`.
    Bite,
}

#[derive(Args)]
struct Chaos {
    /// The same seed plans the same faults; without one, a new one each time.
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    #[arg(long, default_value_t = 600)]
    faults: usize,
    #[arg(long, default_value_t = 40)]
    broker_kills: usize,
    #[arg(long, default_value_t = 5)]
    broker_stops: usize,
    /// From the first fault to the last one.
    #[arg(long, default_value_t = 1500)]
    seconds: u64,
    #[arg(long, default_value_t = 4)]
    runners: usize,
    #[arg(long, default_value_t = 2)]
    slots: usize,
}

fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_thump"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let answer = match Typed::parse().what {
        What::Chaos(chaos) => run_chaos(chaos).await,
        What::KilledRunner { times } => judged(figures::killed_runner(&settings(), times).await, Some((600, 1000))),
        What::FrozenRunner { times } => {
            judged(figures::frozen_runner(&settings(), times).await, Some((20_000, 20_000)))
        }
        What::BrokerRestart { jobs, times } => {
            judged(figures::broker_restart(&settings(), jobs, times).await, Some((5000, 5000)))
        }
        What::StopRace { times } => judged(figures::stop_race(&settings(), times, drill::any_seed()).await, None),
        What::Orphans { times } => judged(figures::orphans(&settings(), times).await, None),
        What::Soak { minutes, warm_up, rate } => run_soak(minutes, warm_up, rate).await,
        What::Bite => bite().await,
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("error: {cause:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the figure, and says whether p50 and p99 stay within so many milliseconds and every case went right.
fn judged(figure: Result<Figure>, goal: Option<(u64, u64)>) -> Result<bool> {
    let figure = figure?;
    let within = |hundredths, most| figure.percentile(hundredths) <= Duration::from_millis(most);
    let reached = figure.all_good() && goal.is_none_or(|(p50, p99)| within(50, p50) && within(99, p99));
    let goal = goal.map_or(String::new(), |(p50, p99)| format!(" (p50 up to {p50} ms, p99 up to {p99} ms)"));
    println!("{figure}\ngoal{goal} {}", if reached { "reached" } else { "MISSED" });
    Ok(reached)
}

async fn run_soak(minutes: f64, warm_up: f64, rate: usize) -> Result<bool> {
    let [warm_up, whole] = [warm_up, minutes].map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let soak = figures::soak(&settings(), rate, warm_up, whole).await?;
    let steady = soak.roles.values().all(|role| role.memory() <= 3.0 && role.descriptors().abs() <= 4.0);
    println!(
        "{soak}\ngoal (memory up to +3 %, descriptors up to 4 apart) {}",
        if steady { "reached" } else { "MISSED" }
    );
    Ok(steady && soak.jobs.0 == soak.jobs.1)
}

async fn bite() -> Result<bool> {
    let mut found = 0;
    for net in Net::ALL {
        let sound = net.cast(&settings()).await?;
        let planted = Settings { environment: vec![("THUMP_PLANTED".into(), net.name().into())], ..settings() };
        let caught = net.cast(&planted).await?;
        let good = sound.is_none() && caught.is_some();
        found += usize::from(good);
        println!("{}: sound {sound:?}, planted {caught:?}{}", net.name(), if good { "" } else { "  NOT FOUND" });
    }
    println!("{found} of {} found", Net::ALL.len());
    Ok(found == Net::ALL.len())
}

async fn run_chaos(typed: Chaos) -> Result<bool> {
    let seed = typed.seed.unwrap_or_else(drill::any_seed);
    eprintln!("seed {seed}");
    let options = Options {
        settings: Settings { runners: typed.runners, slots: typed.slots, ..settings() },
        // `chaos` puts its own node in its place.
        carrier: Carrier::Embedded { weather: seed },
        seed,
        jobs: typed.jobs,
        faults: typed.faults,
        broker_kills: typed.broker_kills,
        broker_stops: typed.broker_stops,
        over: Duration::from_secs(typed.seconds),
        say: |text| eprintln!("{text}"),
    };
    let outcome = chaos::run(options).await?;
    println!("{outcome}");
    Ok(outcome.findings.kept())
}
