//! The verdict of the current attempt counts, once; every other report is history.

use messages::{AttemptNumber, JobId, Outcome, StepEnd, StepResult, Verdict};
use store::{AttemptState, LossCause, Recording};
use uuid::Uuid;

use super::fixture::{World, fresh_token, report_of};

#[tokio::test]
async fn a_verdict_that_arrives_twice_is_recorded_once() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    assert_eq!(world.report(&held, Outcome::Failed).await, Recording::Recorded);
    assert_eq!(world.report(&held, Outcome::Failed).await, Recording::Again);
    assert_eq!(world.report(&held, Outcome::Passed).await, Recording::Again);
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Failed));
}

#[tokio::test]
async fn a_verdict_that_comes_twice_in_one_batch_is_recorded_once() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    let reports = vec![report_of(&held, Outcome::Passed), report_of(&held, Outcome::Passed)];
    let answers = world.ledger.finish(world.epoch, reports).await.expect("answered");
    assert_eq!(answers, [Recording::Recorded, Recording::Again]);
}

#[tokio::test]
async fn the_late_verdict_of_a_runner_that_was_thought_dead_never_wins() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    let dead = world.claim(job, "north").await;
    world.lose(&dead, LossCause::RunnerLost).await;
    assert_eq!(world.report(&dead, Outcome::Failed).await, Recording::Stale, "before its successor has begun");
    let alive = world.claim(job, "south").await;
    assert!(alive.attempt > dead.attempt);
    assert_eq!(world.report(&dead, Outcome::Failed).await, Recording::Stale);
    assert_eq!(world.report(&alive, Outcome::Passed).await, Recording::Recorded);
    assert_eq!(world.report(&dead, Outcome::Failed).await, Recording::Stale);
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Passed));
    let states: Vec<AttemptState> =
        world.ledger.attempts(job).await.expect("read").iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Lost, AttemptState::Finished]);
}

#[tokio::test]
async fn a_report_without_the_token_changes_nothing_and_fills_no_disk() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    for number in 0..30 {
        let mut forged = report_of(&held, Outcome::Passed);
        forged.token = fresh_token();
        forged.runner = format!("forger-{number}").parse().expect("a name");
        let answers = world.ledger.finish(world.epoch, vec![forged]).await.expect("answered");
        assert_eq!(answers, [Recording::Stale]);
    }
    assert_eq!(world.build(build).await.verdict, None);
    assert_eq!(super::invariants::count(&world.file(), "SELECT count(*) FROM stale_reports").await, 20);
}

#[tokio::test]
async fn a_report_of_what_never_was_is_unknown() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let mut held = world.claim(world.job(build, "test").await.id, "north").await;
    held.attempt = AttemptNumber(9);
    assert_eq!(world.report(&held, Outcome::Passed).await, Recording::Unknown);
    held.job = JobId(Uuid::nil());
    assert_eq!(world.report(&held, Outcome::Passed).await, Recording::Unknown);
}

#[tokio::test]
async fn an_attempt_shows_how_it_ended() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    let mut report = report_of(&held, Outcome::Failed);
    report.steps = vec![StepResult { run: "exit 3".into(), end: StepEnd::Exited { code: 3 }, duration_ms: 12 }];
    world.ledger.finish(world.epoch, vec![report.clone()]).await.expect("recorded");
    let attempt = world.ledger.attempts(held.job).await.expect("read").remove(0);
    assert_eq!(attempt.detail, "step 1 exited with 3");
    assert_eq!((attempt.steps, attempt.log_length), (report.steps, Some(7)));
    assert_eq!(world.ledger.last_attempt(held.job).await.expect("read"), Some(held.attempt));
}
