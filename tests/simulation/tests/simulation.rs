//! The roles in simulated time under simulated weather, seed by seed.
//!
//! ```text
//! cargo test -p simulation                                      100 seeds
//! cargo test -p simulation --release -- --seeds 20000           the long run
//! cargo test -p simulation --release -- --seed 4711             one seed with its whole trace
//! cargo test -p simulation --release -- --bite                  every planted defect must be found
//! cargo test -p simulation --release -- --planted NAME          the seeds against one defect
//! ```
//!
//! What runs is the real dispatcher on a real ledger, the real protocol of the runner and the real book of
//! the observer; simulated are time, chance, the network, the broker's troubles, and the hands of the runner.
//! A seed decides everything, so a seed that fails once fails always.

#![allow(clippy::print_stdout, reason = "a test program tells its results")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test program")]

mod announcer;
mod dice;
mod hands;
mod truth;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use seams::Defect;
use world::{Bench, Report};

/// What `cargo test` does without further words.
const SHORT: u64 = 100;
/// Each planted defect must be found within so many seeds.
const BITE: u64 = 2_000;
/// One seed in so many is run twice.
const TWICE: u64 = 100;
const FIRST: u64 = 1;

#[derive(Default)]
struct Sum {
    seeds: u64,
    faults: BTreeMap<&'static str, u64>,
    jobs: u64,
    attempts: u64,
    runs: u64,
    seconds: f64,
    compared: u64,
    failed: Vec<(u64, Vec<String>)>,
    /// For one planted defect: enough is known.
    enough: bool,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Option<u64> {
        let place = words.iter().position(|word| word == name)?;
        words.get(place + 1)?.parse().ok()
    };
    let text = |name: &str| words.iter().position(|word| word == name).and_then(|place| words.get(place + 1));
    if words.iter().any(|word| word == "--list") {
        println!("simulation: test");
        return;
    }
    seams::plant(None);
    let threads = number("--threads").unwrap_or(2);
    let planted = text("--planted").and_then(|name| Defect::SIMULATED.into_iter().find(|one| one.name() == *name));
    seams::plant(planted);
    let good = if words.iter().any(|word| word == "--bite") {
        bite(threads)
    } else if let Some(seed) = number("--seed") {
        one(seed)
    } else {
        let first = number("--from").unwrap_or(FIRST);
        many(first, number("--seeds").unwrap_or(SHORT), threads)
    };
    let (passed, failed) = if good { (1, 0) } else { (0, 1) };
    let word = if good { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    if !good {
        std::process::exit(1);
    }
}

/// One seed, told in full.
fn one(seed: u64) -> bool {
    let mut bench = Bench::new().expect("a ledger");
    let report = bench.run(seed, true);
    println!("\nseed {seed}: {} lines, trace {:016x}, {:.0} s simulated", report.lines, report.hash.0, report.seconds);
    for violation in &report.violations {
        println!("VIOLATION {violation}");
    }
    report.violations.is_empty()
}

fn many(first: u64, seeds: u64, threads: u64) -> bool {
    let begun = Instant::now();
    let sum = run(first, seeds, threads, false);
    println!("\nfaults:");
    for (fault, times) in &sum.faults {
        println!("  {times:>8}  {fault}");
    }
    println!(
        "{} seeds, {} faults, {} jobs, {} attempts granted, {} run, {:.1} h simulated",
        sum.seeds,
        sum.faults.values().sum::<u64>(),
        sum.jobs,
        sum.attempts,
        sum.runs,
        sum.seconds / 3600.0
    );
    println!(
        "{} violations in {} seeds",
        sum.failed.iter().map(|(_, what)| what.len()).sum::<usize>(),
        sum.failed.len()
    );
    println!("{} seeds run twice with equal traces", sum.compared);
    println!("{:.1} s on {threads} threads", begun.elapsed().as_secs_f64());
    for (seed, violations) in sum.failed.iter().take(20) {
        println!("seed {seed}: {}", violations.first().map_or("", String::as_str));
        println!("  replay: cargo test -p simulation --release -- --seed {seed}");
    }
    sum.failed.is_empty()
}

fn bite(threads: u64) -> bool {
    let mut found = 0;
    for defect in Defect::SIMULATED {
        seams::plant(Some(defect));
        let begun = Instant::now();
        let mut sum = run(FIRST, BITE, threads, true);
        sum.failed.sort();
        let time = begun.elapsed().as_secs_f64();
        match sum.failed.first() {
            Some((seed, violations)) => {
                found += 1;
                let what = violations.first().map_or("", String::as_str);
                println!(
                    "{:28} found after {:>4} seeds, {time:4.1} s, by seed {seed}: {what}",
                    defect.name(),
                    sum.seeds
                );
            }
            None => println!("{:28} NOT FOUND in {} seeds", defect.name(), sum.seeds),
        }
    }
    seams::plant(None);
    println!("{found} of {} found", Defect::SIMULATED.len());
    found == Defect::SIMULATED.len()
}

fn run(first: u64, seeds: u64, threads: u64, first_only: bool) -> Sum {
    let (next, sum) = (Arc::new(AtomicU64::new(first)), Arc::new(Mutex::new(Sum::default())));
    let workers: Vec<_> = (0..threads.max(1))
        .map(|_| {
            let (next, sum) = (Arc::clone(&next), Arc::clone(&sum));
            std::thread::spawn(move || {
                let mut bench = Bench::new().expect("a ledger");
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || sum.lock().unwrap().enough {
                        return;
                    }
                    let mut report = bench.run(seed, false);
                    let again = !first_only && seed % TWICE == 0;
                    if again {
                        let second = bench.run(seed, false);
                        if second.hash != report.hash {
                            report.violations.push("two runs of one seed differ".to_owned());
                        }
                    }
                    let mut sum = sum.lock().unwrap();
                    sum.add(seed, report);
                    sum.compared += u64::from(again);
                    sum.enough |= first_only && !sum.failed.is_empty();
                }
            })
        })
        .collect();
    for worker in workers {
        if worker.join().is_err() {
            sum.lock().unwrap().failed.push((0, vec!["a worker panicked".to_owned()]));
        }
    }
    Arc::into_inner(sum).expect("the workers have ended").into_inner().unwrap()
}

impl Sum {
    fn add(&mut self, seed: u64, report: Report) {
        self.seeds += 1;
        for (fault, times) in report.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        self.jobs += report.jobs;
        self.attempts += report.attempts;
        self.runs += report.runs;
        self.seconds += report.seconds;
        if !report.violations.is_empty() {
            self.failed.push((seed, report.violations));
        }
    }
}
