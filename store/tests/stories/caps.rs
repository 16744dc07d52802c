//! A job that cannot be done ends, and what costs nothing is not counted.

use messages::{AttemptNumber, ErroredKind, Outcome, Verdict};
use store::{LossCause, Recording, Requeue};

use super::fixture::{World, errored, fresh_token};

#[tokio::test]
async fn a_job_that_kills_its_runner_three_times_is_parked_with_the_evidence() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    for runner in ["north", "south"] {
        let held = world.claim(job, runner).await;
        assert_eq!(world.lose(&held, LossCause::RunnerLost).await, Requeue::Queued);
        assert_eq!(world.to_publish().await, [job]);
    }
    let held = world.claim(job, "west").await;
    assert_eq!(world.lose(&held, LossCause::RunnerLost).await, Requeue::Ended(Verdict::Errored));
    let reason = world.job(build, "test").await.reason.expect("a reason");
    assert_eq!(reason.kind, ErroredKind::RunnerLost);
    for evidence in ["runner lost 3 times", "attempt 1 on north", "attempt 2 on south", "attempt 3 on west"] {
        assert!(reason.detail.contains(evidence), "{evidence:?} in {:?}", reason.detail);
    }
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Errored));
    assert!(world.to_publish().await.is_empty());
}

#[tokio::test]
async fn losses_that_are_not_the_jobs_fault_end_it_only_after_ten() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    for _ in 0..9 {
        let held = world.claim(job, "north").await;
        assert_eq!(world.lose(&held, LossCause::Infrastructure).await, Requeue::Queued);
    }
    let held = world.claim(job, "north").await;
    assert_eq!(world.lose(&held, LossCause::Infrastructure).await, Requeue::Ended(Verdict::Errored));
    assert_eq!(world.job(build, "test").await.reason.expect("a reason").kind, ErroredKind::TooManyAttempts);
}

#[tokio::test]
async fn a_hand_back_costs_nothing_but_a_number() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    for _ in 0..25 {
        let held = world.claim(job, "north").await;
        assert_eq!(world.hand_back(&held).await, Requeue::Queued);
        assert_eq!(world.hand_back(&held).await, Requeue::Stale, "said twice");
    }
    let held = world.claim(job, "north").await;
    assert_eq!(held.attempt, AttemptNumber(26));
    world.report(&held, Outcome::Passed).await;
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Passed));
}

#[tokio::test]
async fn nobody_hands_back_what_another_holds() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let mut held = world.claim(world.job(build, "test").await.id, "north").await;
    held.token = fresh_token();
    assert_eq!(world.hand_back(&held).await, Requeue::Stale);
}

#[tokio::test]
async fn an_error_worth_another_attempt_gets_two_more() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    for _ in 0..2 {
        let held = world.claim(job, "north").await;
        assert_eq!(world.report(&held, errored(true)).await, Recording::Recorded);
        assert_eq!(world.report(&held, errored(true)).await, Recording::Again);
        assert_eq!(world.to_publish().await, [job]);
    }
    let held = world.claim(job, "north").await;
    assert_eq!(world.report(&held, errored(true)).await, Recording::Recorded);
    let view = world.job(build, "test").await;
    assert_eq!(view.verdict, Some(Verdict::Errored));
    assert_eq!(view.reason.expect("a reason").kind, ErroredKind::Checkout);
}

#[tokio::test]
async fn a_loss_that_is_told_late_does_not_take_the_job_from_its_new_holder() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    let first = world.claim(job, "north").await;
    world.lose(&first, LossCause::RunnerLost).await;
    world.claim(job, "south").await;
    assert_eq!(world.lose(&first, LossCause::RunnerLost).await, Requeue::Stale);
    assert_eq!(world.ledger.running().await.expect("read")[0].runner.as_str(), "south");
}
