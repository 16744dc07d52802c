//! All promises at once: many jobs, and faults of every kind at random, of every process and of the broker.
//!
//! The long form is `cargo bench --bench reliability -- chaos`; `docs/reliability.md` has the figures.

use std::time::Duration;

use chaos::{Options, Settings, figures};

fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_thump"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_bear_sixty_random_faults() {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(chaos::any_seed);
    let options = Options {
        settings: settings(),
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
async fn a_stop_at_the_instant_of_delivery_costs_no_attempt() {
    let figure = figures::stop_race(&settings(), 8, chaos::any_seed()).await.expect("the machinery works");
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
