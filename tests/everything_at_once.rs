//! All promises at once: many jobs, and faults of every kind at random, of every process and of the broker.
//!
//! The long form is `cargo bench --bench reliability -- chaos`; `docs/reliability.md` has the figures.

use std::time::Duration;

use chaos::figures;
use drill::{Carrier, Options, Settings};

use crate::world::process::{finish, thump};

fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_thump"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes, and does not pass every time yet; docs/reliability.md has the command"]
async fn a_thousand_jobs_bear_sixty_random_faults() {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(drill::any_seed);
    let options = Options {
        settings: settings(),
        carrier: Carrier::Embedded { weather: seed },
        seed,
        jobs: 1000,
        faults: 60,
        broker_kills: 2,
        broker_stops: 1,
        over: Duration::from_secs(100),
        say: |_| {},
    };
    let outcome = chaos::run(options).await.expect("the machinery works");
    assert!(outcome.findings.kept(), "{outcome}");
    assert_eq!(outcome.not_done(), 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_bears_kills_under_a_bad_weather() {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(drill::any_seed);
    let options = Options {
        settings: Settings { runners: 1, ..settings() },
        carrier: Carrier::Embedded { weather: seed },
        seed,
        jobs: 60,
        faults: 4,
        broker_kills: 0,
        broker_stops: 0,
        over: Duration::from_secs(20),
        say: |_| {},
    };
    let outcome = drill::run(options).await.expect("the machinery works");
    assert!(outcome.findings.kept(), "{outcome}");
    assert_eq!(outcome.not_done(), 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_drills_on_an_empty_virtual_host_and_never_on_a_used_one() {
    let node = rabbit_node::shared().await.expect("a RabbitMQ node");
    let url = node.vhost().await.expect("a virtual host");
    let drill = |url: &str| {
        let mut drill = thump();
        drill.args(["drill", "--json", "--jobs", "30", "--faults", "4", "--seconds", "10"]).env("THUMP_BROKER", url);
        drill
    };
    let (code, out, err) = finish(drill(&url)).await;
    assert_eq!(code, 0, "{out}\n{err}");
    let result: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&result["kept"], &result["faults"]), (&true.into(), &4.into()), "{result}");

    // It left nothing behind, so it may be used for the next one; but not once somebody works there.
    let work = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.expect("connected");
    let channel = work.create_channel().await.expect("a channel");
    let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("thump.results".into(), durable, Default::default()).await.expect("declared");
    let (code, _, err) = finish(drill(&url)).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("thump.results") && err.contains("add_vhost"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_the_instant_of_delivery_costs_no_attempt() {
    let figure = figures::stop_race(&settings(), 8, drill::any_seed()).await.expect("the machinery works");
    assert!(figure.all_good(), "{figure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_job_is_left_two_seconds_after_its_runner_was_killed() {
    let figure = figures::orphans(&settings(), 4).await.expect("the machinery works");
    assert!(figure.all_good(), "{figure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_results_of_silent_runners_are_refused() {
    let figure = figures::frozen_runner(&settings(), 3).await.expect("the machinery works");
    assert!(figure.all_good(), "{figure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_costs_none_of_many_running_jobs_an_attempt() {
    let figure = figures::broker_restart(&settings(), 8, 1).await.expect("the machinery works");
    assert!(figure.all_good(), "{figure}");
}
