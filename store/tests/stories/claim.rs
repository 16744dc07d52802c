//! Of all copies of a job only one is started.

use messages::{DropReason, JobId, Outcome};
use store::{ClaimDecision, State};
use uuid::Uuid;

use super::fixture::{World, question};

#[tokio::test]
async fn the_same_runner_asking_twice_gets_the_same_attempt() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    let first = world.claim(job, "north").await;
    let again = world.claim(job, "north").await;
    assert_eq!((first.attempt, first.token), (again.attempt, again.token));
    let view = world.build(build).await;
    assert_eq!(view.state, State::Running);
    assert!(view.started_at.is_some());
    assert_eq!(view.jobs[0].runner.as_ref().map(|name| name.as_str()), Some("north"));
}

#[tokio::test]
async fn another_runner_and_another_life_of_the_same_one_are_turned_away() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    world.claim(job, "north").await;
    assert_eq!(world.refused(job, "south").await, DropReason::HeldElsewhere);
    assert!(matches!(world.ask(job, "north", 2).await, ClaimDecision::Drop(DropReason::HeldElsewhere)));
}

#[tokio::test]
async fn two_runners_in_one_batch_cannot_both_get_it_and_a_strange_job_spoils_nothing() {
    let world = World::start().await;
    let build = world.push(1, &[("first", &[]), ("second", &[0])]).await;
    let (first, second) = (world.job(build, "first").await.id, world.job(build, "second").await.id);
    let claims = vec![
        question(JobId(Uuid::nil()), "north", 1),
        question(first, "north", 1),
        question(first, "south", 1),
        question(second, "south", 1),
    ];
    let answers = world.ledger.claim(world.epoch, claims).await.expect("answered");
    assert!(matches!(answers[0], ClaimDecision::Drop(DropReason::Unknown)));
    assert!(matches!(answers[1], ClaimDecision::Run { .. }));
    assert!(matches!(answers[2], ClaimDecision::Drop(DropReason::HeldElsewhere)));
    assert!(matches!(answers[3], ClaimDecision::Drop(DropReason::NotQueued)));
}

#[tokio::test]
async fn a_copy_of_a_finished_job_is_dropped() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    let held = world.claim(job, "north").await;
    world.report(&held, Outcome::Passed).await;
    assert_eq!(world.refused(job, "south").await, DropReason::Finished);
}
