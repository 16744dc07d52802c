//! A cancel and everything that may cross its way.

use messages::{DropReason, Outcome, Verdict};
use store::{LossCause, Recording, Requeue, State};

use super::fixture::{World, errored};

#[tokio::test]
async fn what_has_not_begun_is_cancelled_at_once_and_never_starts() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[]), ("ship", &[0])]).await;
    let job = world.job(build, "test").await.id;
    assert!(world.ledger.cancel_build(build, "ada").await.expect("written"));
    assert!(!world.ledger.cancel_build(build, "ada").await.expect("written"), "nothing is left to cancel");
    for name in ["test", "ship"] {
        assert_eq!(world.job(build, name).await.verdict, Some(Verdict::Cancelled), "{name}");
    }
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Cancelled));
    assert_eq!(world.refused(job, "north").await, DropReason::Finished);
    assert!(world.to_publish().await.is_empty());
}

#[tokio::test]
async fn a_job_behind_a_cancelled_one_is_skipped() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[]), ("ship", &[0])]).await;
    let job = world.job(build, "test").await.id;
    assert!(world.ledger.cancel_job(job, "ada").await.expect("written"));
    assert_eq!(world.job(build, "ship").await.verdict, Some(Verdict::Skipped));
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Cancelled));
}

#[tokio::test]
async fn a_running_job_is_marked_and_the_verdict_that_arrives_first_wins() {
    for (outcome, verdict) in [
        (Outcome::Passed, Verdict::Passed),
        (Outcome::Failed, Verdict::Failed),
        (Outcome::Cancelled, Verdict::Cancelled),
        (errored(true), Verdict::Cancelled),
    ] {
        let world = World::start().await;
        let build = world.push(1, &[("test", &[])]).await;
        let job = world.job(build, "test").await.id;
        let held = world.claim(job, "north").await;
        assert!(world.ledger.cancel_job(job, "ada").await.expect("written"));
        assert!(!world.ledger.cancel_job(job, "ada").await.expect("written"), "asked twice is asked once");
        assert!(world.ledger.running().await.expect("read")[0].cancelling);
        assert_eq!(world.job(build, "test").await.state, State::Running);
        assert_eq!(world.report(&held, outcome).await, Recording::Recorded);
        assert_eq!(world.job(build, "test").await.verdict, Some(verdict));
    }
}

#[tokio::test]
async fn a_cancelled_attempt_that_is_lost_or_handed_back_is_not_run_again() {
    for lost in [true, false] {
        let world = World::start().await;
        let build = world.push(1, &[("test", &[])]).await;
        let held = world.claim(world.job(build, "test").await.id, "north").await;
        world.ledger.cancel_build(build, "ada").await.expect("written");
        let outcome = if lost { world.lose(&held, LossCause::RunnerLost).await } else { world.hand_back(&held).await };
        assert_eq!(outcome, Requeue::Ended(Verdict::Cancelled));
        assert!(world.to_publish().await.is_empty());
        assert_eq!(world.report(&held, Outcome::Passed).await, Recording::Stale);
    }
}

#[tokio::test]
async fn a_cancel_that_comes_after_the_verdict_changes_nothing() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    world.report(&held, Outcome::Passed).await;
    assert!(!world.ledger.cancel_job(held.job, "ada").await.expect("written"));
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Passed));
}
