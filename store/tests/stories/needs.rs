//! Jobs wait for the jobs they need, and never for ever.

use messages::{DropReason, Outcome, Verdict};
use store::{Intake, NewBuild, Skipped, State};

use super::fixture::{World, build, errored};

#[tokio::test]
async fn a_job_is_released_when_the_last_of_its_needs_has_passed() {
    let world = World::start().await;
    let build = world.push(1, &[("lint", &[]), ("test", &[]), ("ship", &[0, 1])]).await;
    let (lint, test) = (world.job(build, "lint").await.id, world.job(build, "test").await.id);
    assert_eq!(world.job(build, "ship").await.waiting_for, ["lint", "test"]);

    let held = world.claim(lint, "north").await;
    world.report(&held, Outcome::Passed).await;
    let ship = world.job(build, "ship").await;
    assert_eq!((ship.state, ship.waiting_for), (State::Waiting, vec!["test".to_owned()]));
    assert_eq!(world.refused(ship.id, "north").await, DropReason::NotQueued);

    let held = world.claim(test, "north").await;
    world.report(&held, Outcome::Passed).await;
    assert_eq!(world.job(build, "ship").await.state, State::Queued);
    assert_eq!(world.to_publish().await, [ship.id]);
    assert_eq!(world.build(build).await.state, State::Running, "between two jobs a build still runs");

    let held = world.claim(ship.id, "north").await;
    world.report(&held, Outcome::Passed).await;
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Passed));
}

#[tokio::test]
async fn both_needs_that_end_in_one_batch_release_the_job_once() {
    let world = World::start().await;
    let build = world.push(1, &[("a", &[]), ("b", &[]), ("c", &[0, 1])]).await;
    let a = world.claim(world.job(build, "a").await.id, "north").await;
    let b = world.claim(world.job(build, "b").await.id, "south").await;
    let reports = [&a, &b].map(|held| super::fixture::report_of(held, Outcome::Passed)).to_vec();
    world.ledger.finish(world.epoch, reports).await.expect("recorded");
    assert_eq!(world.job(build, "c").await.state, State::Queued);
}

#[tokio::test]
async fn jobs_behind_a_failed_one_are_skipped_and_do_not_hide_it() {
    let world = World::start().await;
    let jobs: [(&str, &[usize]); 4] = [("build", &[]), ("test", &[0]), ("ship", &[1]), ("apart", &[])];
    let build = world.push(1, &jobs).await;
    let held = world.claim(world.job(build, "build").await.id, "north").await;
    world.report(&held, Outcome::Failed).await;
    for name in ["test", "ship"] {
        assert_eq!(world.job(build, name).await.verdict, Some(Verdict::Skipped), "{name}");
    }
    assert_eq!(world.build(build).await.state, State::Running, "one job is still open");
    let held = world.claim(world.job(build, "apart").await.id, "north").await;
    world.report(&held, Outcome::Passed).await;
    assert_eq!(world.build(build).await.verdict, Some(Verdict::Failed));
}

#[tokio::test]
async fn a_build_is_errored_with_the_reason_of_the_job_that_was() {
    let world = World::start().await;
    let build = world.push(1, &[("build", &[]), ("test", &[0])]).await;
    let held = world.claim(world.job(build, "build").await.id, "north").await;
    world.report(&held, errored(false)).await;
    let view = world.build(build).await;
    assert_eq!(view.verdict, Some(Verdict::Errored));
    assert_eq!(view.reason.expect("a reason").detail, "no space left");
    assert!(view.finished_at.is_some());
}

/// A commit whose jobs of these names are left out by a condition.
fn filtered(mut new: NewBuild, names: &[&str]) -> NewBuild {
    for job in new.plan.iter_mut().flatten().filter(|job| names.contains(&job.name.as_str())) {
        job.filtered = Some("the branch \"dev\" does not match when.branch".into());
    }
    new
}

#[tokio::test]
async fn a_job_that_a_condition_leaves_out_is_skipped_at_once_and_holds_nobody_up() {
    let world = World::start().await;
    let jobs: [(&str, &[usize]); 4] = [("ship", &[1, 2]), ("docs", &[]), ("test", &[]), ("after docs", &[1])];
    let Intake::New(id) = world.record(vec![filtered(build(1, &jobs), &["docs"])]).await[0] else { panic!("known") };
    let docs = world.job(id, "docs").await;
    assert_eq!(docs.verdict, Some(Verdict::Skipped));
    let detail = "the branch \"dev\" does not match when.branch".to_owned();
    assert_eq!(docs.skipped, Some(Skipped::Filtered { detail }));
    assert_eq!(world.job(id, "after docs").await.state, State::Queued, "nothing else holds it up");
    assert_eq!(world.job(id, "ship").await.waiting_for, ["test"]);
    assert_eq!(world.refused(docs.id, "north").await, DropReason::Finished);

    for name in ["test", "after docs", "ship"] {
        let held = world.claim(world.job(id, name).await.id, "north").await;
        world.report(&held, Outcome::Passed).await;
    }
    assert_eq!(world.build(id).await.verdict, Some(Verdict::Passed));

    // A person who asks for it all the same gets it.
    let again = world.ledger.retry_job(docs.id, "ada").await.expect("written").expect("it was done");
    assert_eq!(world.to_publish().await, [again]);
}

#[tokio::test]
async fn a_build_whose_every_job_is_left_out_is_skipped_and_good() {
    let world = World::start().await;
    let new = filtered(build(1, &[("a", &[]), ("b", &[0])]), &["a", "b"]);
    let Intake::New(id) = world.record(vec![new]).await[0] else { panic!("known") };
    let view = world.build(id).await;
    assert_eq!((view.state, view.verdict), (State::Done, Some(Verdict::Skipped)));
    assert!(view.finished_at.is_some() && view.jobs.iter().all(|job| job.finished_at.is_some()));
    assert!(world.to_publish().await.is_empty());
    assert!(world.ledger.queues().await.expect("read").iter().all(|queue| queue.waiting + queue.queued == 0));
}

#[tokio::test]
async fn a_need_that_was_skipped_for_a_failed_need_blocks_where_a_filtered_one_does_not() {
    let world = World::start().await;
    let jobs: [(&str, &[usize]); 4] = [("test", &[]), ("pack", &[0]), ("docs", &[]), ("ship", &[1, 2])];
    let Intake::New(id) = world.record(vec![filtered(build(1, &jobs), &["docs"])]).await[0] else { panic!("known") };
    let held = world.claim(world.job(id, "test").await.id, "north").await;
    world.report(&held, Outcome::Failed).await;
    for name in ["pack", "ship"] {
        assert_eq!(world.job(id, name).await.skipped, Some(Skipped::Needs), "{name}");
    }
    assert_eq!(world.build(id).await.verdict, Some(Verdict::Failed));
}
