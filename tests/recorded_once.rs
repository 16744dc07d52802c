//! P3: whatever runs twice is recorded once; the verdict of the current attempt counts.

use rustix::process::Signal;

use crate::world::{Carrier, World};

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
