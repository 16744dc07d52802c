//! P1 and P2: whatever role dies, the others wait, and what it knew is known again.

use crate::world::{Carrier, World, lines_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dispatcher_resumes_and_the_running_job_goes_on() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    world.running_job(&commit).await;

    world.process("dispatcher").kill();
    // While nobody decides: a push, and the end of the job.
    let meanwhile = repository.push_job(&world.append("ran", "meanwhile"));
    world.make("go");
    world.start_dispatcher().await;

    assert_eq!(world.verdict(&commit).await, "passed");
    assert_eq!(world.verdict(&meanwhile).await, "passed");
    assert_eq!(world.lines("ran"), ["1", "meanwhile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_observer_finds_every_commit_that_was_pushed_meanwhile() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let first = repository.push_job(&world.append("ran", "$THUMP_COMMIT"));
    assert_eq!(world.verdict(&first).await, "passed");

    world.process("observer").kill();
    let missed: Vec<String> = (0..5).map(|number| repository.commit(&format!("missed {number}"))).collect();
    repository.push();
    world.start_observer();

    for commit in &missed {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    assert_eq!(world.lines("ran").len(), 6, "the first one is not tested again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_up_resumes_with_queued_and_running_jobs() {
    let mut world = World::new(Carrier::Embedded).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start().await;
    let running = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_COMMIT"), world.until("go")));
    lines_in(&world.path("ran"), 1).await;
    let queued: Vec<String> = (0..3).map(|number| repository.commit(&format!("queued {number}"))).collect();
    repository.push();
    world.eventually("the queued builds", || async { (world.builds(&queued[2]).await.len() == 1).then_some(()) }).await;

    world.process("up").kill();
    world.make("go");
    world.start_up().await;

    assert_eq!(world.verdict(&running).await, "passed");
    for commit in &queued {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    let ran = world.lines("ran");
    assert_eq!(ran.iter().filter(|line| **line == running).count(), 2, "its first attempt was lost with the process");
    for commit in &queued {
        assert_eq!(ran.iter().filter(|line| *line == commit).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_may_start_in_any_order_and_wait_for_each_other() {
    let mut world = World::new(Carrier::Rabbit).await;
    let repository = world.repository("app");
    let commit = repository.push_job("true");
    world.start_runner("runner");
    world.start_observer();
    world.start_dispatcher().await;
    assert_eq!(world.verdict(&commit).await, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_dispatcher_waits_and_takes_over() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");

    // The same data folder, so the same ledger; it says that it waits.
    world.start_standby();
    world.process("standby").says("waiting").await;
    world.process("dispatcher").kill();
    world.follow_standby().await;
    let next = repository.push_job("true # next");
    assert_eq!(world.verdict(&next).await, "passed");
    assert_eq!(world.verdict(&commit).await, "passed");
}
