//! A retry is a new job: the old one stays visible, the newest of a name counts.

use messages::{Outcome, Verdict};
use store::State;

use super::fixture::World;

#[tokio::test]
async fn a_retry_opens_the_build_again_and_its_result_counts() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    assert_eq!(world.ledger.retry_job(held.job, "ada").await.expect("written"), None, "it still runs");
    world.report(&held, Outcome::Failed).await;

    let again = world.ledger.retry_job(held.job, "ada").await.expect("written").expect("it was done");
    let view = world.build(build).await;
    assert_eq!((view.state, view.verdict, view.finished_at), (State::Queued, None, None));
    assert_eq!(view.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [held.job, again]);
    assert_eq!(view.jobs[1].retry_of, Some(held.job));
    assert_eq!(world.to_publish().await, [again]);

    let held = world.claim(again, "north").await;
    world.report(&held, Outcome::Passed).await;
    let view = world.build(build).await;
    assert_eq!(view.verdict, Some(Verdict::Passed));
    assert_eq!(view.jobs[0].verdict, Some(Verdict::Failed), "the old one stays what it was");
}

#[tokio::test]
async fn jobs_that_were_skipped_because_of_it_come_back_with_it() {
    let world = World::start().await;
    let build = world.push(1, &[("build", &[]), ("test", &[0]), ("ship", &[1]), ("apart", &[])]).await;
    let apart = world.claim(world.job(build, "apart").await.id, "north").await;
    world.report(&apart, Outcome::Passed).await;
    let held = world.claim(world.job(build, "build").await.id, "north").await;
    world.report(&held, Outcome::Failed).await;
    let skipped = world.job(build, "test").await.id;
    assert_eq!(world.ledger.retry_job(skipped, "ada").await.expect("written"), None, "its need is what to retry");

    world.ledger.retry_job(held.job, "ada").await.expect("written").expect("it was done");
    for name in ["build", "test", "ship"] {
        let job = world.job(build, name).await;
        assert!(job.retry_of.is_some(), "{name}");
        let held = world.claim(job.id, "north").await;
        world.report(&held, Outcome::Passed).await;
    }
    assert_eq!(world.job(build, "apart").await.id, apart.job, "what passed is not run again");
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Passed));
}

#[tokio::test]
async fn a_job_behind_two_failed_ones_needs_both_retries() {
    let world = World::start().await;
    let build = world.push(1, &[("a", &[]), ("b", &[]), ("c", &[0, 1]), ("d", &[2])]).await;
    for name in ["a", "b"] {
        let held = world.claim(world.job(build, name).await.id, "north").await;
        world.report(&held, Outcome::Failed).await;
    }
    for name in ["a", "b"] {
        let old = world.job(build, name).await.id;
        let new = world.ledger.retry_job(old, "ada").await.expect("written").expect("it was done");
        let held = world.claim(new, "north").await;
        world.report(&held, Outcome::Passed).await;
        let expected = if name == "a" { State::Done } else { State::Queued };
        assert_eq!(world.job(build, "c").await.state, expected, "after {name}");
    }
    assert_eq!(world.job(build, "d").await.state, State::Waiting);
}

#[tokio::test]
async fn a_job_that_ran_behind_a_retried_one_can_be_retried_alone() {
    let world = World::start().await;
    let build = world.push(1, &[("build", &[]), ("test", &[0])]).await;
    for name in ["build", "test"] {
        let held = world.claim(world.job(build, name).await.id, "north").await;
        world.report(&held, Outcome::Passed).await;
    }
    let old = world.job(build, "build").await.id;
    let held = world.claim(world.ledger.retry_job(old, "ada").await.expect("written").expect("done"), "north").await;
    world.report(&held, Outcome::Failed).await;
    assert_eq!(world.job(build, "test").await.verdict, Some(Verdict::Passed));
    let old = world.job(build, "test").await.id;
    world.ledger.retry_job(old, "ada").await.expect("written").expect("done");
    assert_eq!(world.job(build, "test").await.state, State::Queued);
}
