//! P4: a killed runner's job starts elsewhere within a second, and is recorded once.

use crate::world::{Carrier, World, lines_in};

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_killed_runner_runs_elsewhere_and_is_recorded_once() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("north");
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));

    let job = world.running_job(&commit).await;
    assert_eq!(job["runner"], "north");
    lines_in(&world.path("ran"), 1).await;
    world.start_runner("south");
    world.process("north").kill();

    let job = world
        .eventually("the job on the other runner", || async {
            let job = world.running_job(&commit).await;
            (job["runner"] == "south").then_some(job)
        })
        .await;
    assert_eq!(job["attempt"], 2);
    lines_in(&world.path("ran"), 2).await;
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "passed");
    assert_eq!(world.lines("ran"), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runners_job_starts_elsewhere_long_before_its_lease_ends() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("north");
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    let job = world.running_job(&commit).await;
    lines_in(&world.path("ran"), 1).await;
    world.start_runner("south");
    both_known(&world).await;

    world.process("north").kill();
    assert_eq!(lines_in(&world.path("ran"), 2).await, ["1", "2"]);
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "passed");
    let job = world.api(&format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))).await.expect("the job");
    let lost = job["attempts"][0]["detail"].as_str().expect("a detail");
    assert!(lost.contains("nobody listened for it"), "not the end of its lease, but probes told: {lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_comes_back_leaves_the_next_attempt_of_its_job_alone() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("north");
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    lines_in(&world.path("ran"), 1).await;
    world.start_runner("south");
    both_known(&world).await;
    world.process("north").kill();
    lines_in(&world.path("ran"), 2).await;

    // On the same machine: what it finds of its own last life to end is not what runs now.
    world.start_runner("north");
    world.process("north").says("runner started").await;
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "passed");
    assert_eq!(world.lines("ran"), ["1", "2"]);
}

/// Waits until the dispatcher has heard of two living runners.
async fn both_known(world: &World) {
    world
        .eventually("two runners", || async {
            let runners = world.api("/api/v1/runners").await?;
            let living = runners["runners"].as_array()?.iter().filter(|runner| runner["state"] != "gone").count();
            (living >= 2).then_some(())
        })
        .await;
}

/// A measurement and no promise's proof, for it is about time:
/// `cargo test --test stories -- --ignored --nocapture how_soon_a_killed_runners_job_starts_elsewhere`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of two minutes"]
async fn how_soon_a_killed_runners_job_starts_elsewhere() {
    const KILLS: usize = 30;
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("runner-0");
    let mut milliseconds = Vec::new();
    for kill in 0..KILLS {
        world.start_runner(&format!("runner-{}", kill + 1));
        both_known(&world).await;
        let (began, go) = (format!("began-{kill}"), format!("go-{kill}"));
        let commit = repository.push_job(&format!("{}; {}", world.append(&began, "$(date +%s%N)"), world.until(&go)));
        let job = world.running_job(&commit).await;
        lines_in(&world.path(&began), 1).await;
        // Two that go missing within two seconds are no single death.
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        let killed = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos();
        world.process(job["runner"].as_str().expect("a runner")).kill();
        let again: u128 = lines_in(&world.path(&began), 2).await[1].parse().expect("nanoseconds");
        milliseconds.push((again - killed) / 1_000_000);
        world.make(&go);
        assert_eq!(world.verdict(&commit).await, "passed");
    }
    eprintln!("in order: {milliseconds:?}");
    milliseconds.sort_unstable();
    eprintln!("p50 {} ms, p99 and longest {} ms", milliseconds[KILLS / 2], milliseconds[KILLS - 1]);
}
