//! P3 and P4: a lost runner's job runs elsewhere, and is recorded once.

use rustix::process::Signal;

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
async fn a_frozen_runner_loses_its_job_and_its_late_verdict_does_not_count() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("north");
    // The first attempt would pass, the second one fails: whose verdict stands can be seen.
    let commit = repository.push_job(&format!("{}; test $THUMP_ATTEMPT = 1", world.until("go")));
    let job = world.running_job(&commit).await;
    assert_eq!(job["runner"], "north");

    world.process("north").signal(Signal::STOP);
    world.start_runner("south");
    world
        .eventually("the job on the other runner", || async {
            (world.running_job(&commit).await["runner"] == "south").then_some(())
        })
        .await;
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "failed");

    // The frozen one wakes up with a verdict of its own: history, nothing more.
    world.process("north").signal(Signal::CONT);
    let next = repository.push_job("true");
    assert_eq!(world.verdict(&next).await, "passed");
    assert_eq!(world.verdict(&commit).await, "failed");
    let job = world.builds(&commit).await[0]["jobs"][0].clone();
    assert_eq!((&job["attempt"], &job["runner"]), (&2.into(), &"south".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_runner_three_times_is_parked_and_others_go_on() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("runner-0");
    let commit = repository.push_job(&format!("{}; sleep 600", world.append("ran", "$THUMP_ATTEMPT")));
    for death in 0..3 {
        let holder = format!("runner-{death}");
        world
            .eventually("the next attempt", || async {
                (world.running_job(&commit).await["runner"] == holder.as_str()).then_some(())
            })
            .await;
        world.process(&holder).kill();
        world.start_runner(&format!("runner-{}", death + 1));
    }

    assert_eq!(world.verdict(&commit).await, "errored");
    let build = world.builds(&commit).await[0].clone();
    assert!(build.to_string().contains("runner_lost") || build.to_string().contains("lost 3 times"), "{build}");
    let next = repository.push_job("true");
    assert_eq!(world.verdict(&next).await, "passed");
}
