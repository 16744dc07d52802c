//! A job that cannot be done ends, and what costs nothing is not counted.

use messages::{AttemptNumber, BuildId, ErroredKind, Outcome, Verdict};
use store::{Intake, LossCause, Policy, Recording, Requeue, RetryPolicy, State};

use super::fixture::{World, build, errored, fresh_token};

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

/// A build with one job `test` under this policy, and one that needs it.
async fn under(world: &World, policy: Policy) -> BuildId {
    let mut new = build(1, &[("test", &[]), ("after", &[0])]);
    new.plan.as_mut().expect("a plan")[0].policy = policy;
    match world.record(vec![new]).await[0] {
        Intake::New(id) | Intake::Known(id) => id,
    }
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_as_often_as_the_pipeline_says_and_every_one_is_kept() {
    let world = World::start().await;
    let retry = RetryPolicy { failed: 2, timed_out: 1, errored: None };
    let id = under(&world, Policy { retry, ..Policy::default() }).await;
    let job = world.job(id, "test").await.id;
    for outcome in [Outcome::Failed, Outcome::TimedOut { silence_seconds: None }, Outcome::Failed] {
        let held = world.claim(job, "north").await;
        assert_eq!(world.report(&held, outcome).await, Recording::Recorded);
        assert_eq!(world.to_publish().await, [job], "another attempt");
        assert_eq!(world.job(id, "after").await.state, State::Waiting, "nothing is decided yet");
    }
    let held = world.claim(job, "north").await;
    world.report(&held, Outcome::Failed).await;
    assert_eq!(world.job(id, "test").await.verdict, Some(Verdict::Failed));
    assert_eq!(world.job(id, "after").await.verdict, Some(Verdict::Skipped));
    assert_eq!(world.ledger.attempts(job).await.expect("read").len(), 4);
    // A report that comes twice is not another failure.
    assert_eq!(world.report(&held, Outcome::Failed).await, Recording::Again);

    // The next job of the name, made by a person, has all its attempts again.
    let again = world.ledger.retry_job(job, "ada").await.expect("written").expect("it was done");
    let held = world.claim(again, "north").await;
    world.report(&held, Outcome::Failed).await;
    assert_eq!(world.to_publish().await, [again]);
    let held = world.claim(again, "north").await;
    world.report(&held, Outcome::Passed).await;
    assert_eq!(world.job(id, "test").await.verdict, Some(Verdict::Passed), "a later attempt may mend it");
}

#[tokio::test]
async fn errors_of_ours_are_repeated_as_often_as_the_pipeline_says() {
    for (errored_again, attempts) in [(None, 3), (Some(0), 1), (Some(5), 6)] {
        let world = World::start().await;
        let retry = RetryPolicy { errored: errored_again, ..RetryPolicy::default() };
        let id = under(&world, Policy { retry, ..Policy::default() }).await;
        let job = world.job(id, "test").await.id;
        for _ in 0..attempts {
            let held = world.claim(job, "north").await;
            world.report(&held, errored(true)).await;
        }
        assert_eq!(world.job(id, "test").await.verdict, Some(Verdict::Errored), "after {attempts}");
    }
}

#[tokio::test]
async fn a_cancelled_job_is_not_tried_again_and_keeps_what_it_found() {
    let world = World::start().await;
    let retry = RetryPolicy { failed: 5, ..RetryPolicy::default() };
    let id = under(&world, Policy { retry, ..Policy::default() }).await;
    let held = world.claim(world.job(id, "test").await.id, "north").await;
    world.ledger.cancel_job(held.job, "ada").await.expect("written");
    world.report(&held, Outcome::Failed).await;
    assert_eq!(world.job(id, "test").await.verdict, Some(Verdict::Failed));
    assert!(world.to_publish().await.is_empty());
}

#[tokio::test]
async fn ten_attempts_are_the_end_whatever_the_pipeline_wants() {
    let world = World::start().await;
    let retry = RetryPolicy { failed: 5, timed_out: 5, errored: Some(5) };
    let id = under(&world, Policy { retry, ..Policy::default() }).await;
    let job = world.job(id, "test").await.id;
    let mut attempts = 0;
    while world.job(id, "test").await.state != State::Done {
        let held = world.claim(job, "north").await;
        attempts += 1;
        world
            .report(
                &held,
                if attempts % 2 == 0 { Outcome::Failed } else { Outcome::TimedOut { silence_seconds: None } },
            )
            .await;
    }
    assert_eq!(attempts, 10);
    assert_eq!(world.job(id, "test").await.verdict, Some(Verdict::Failed), "what the last one said");
}

#[tokio::test]
async fn an_allowed_failure_is_shown_and_holds_nobody_up() {
    for outcome in [Outcome::Failed, Outcome::TimedOut { silence_seconds: None }, errored(false)] {
        let world = World::start().await;
        let id = under(&world, Policy { allow_failure: true, ..Policy::default() }).await;
        let held = world.claim(world.job(id, "test").await.id, "north").await;
        world.report(&held, outcome).await;
        let test = world.job(id, "test").await;
        assert!(test.allow_failure && test.verdict.is_some_and(|verdict| !verdict.is_good()), "{test:?}");
        let held = world.claim(world.job(id, "after").await.id, "north").await;
        world.report(&held, Outcome::Passed).await;
        let view = world.build(id).await;
        assert_eq!((view.verdict, view.reason), (Some(Verdict::Passed), None));
    }
}
