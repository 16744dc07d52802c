//! Nothing is acked before it is handed on, nothing is run without a claim, nothing is lost by a stop.

use std::time::Duration;

use messages::Outcome;

use crate::world::{World, eventually, lives, pid_in};

#[tokio::test]
async fn a_copy_that_the_dispatcher_drops_is_acked_and_not_run() {
    let world = World::new().await;
    let job = world.job(&["touch \"$MARK\""]);
    world.ledger().refuse.push(job.id);
    world.publish(&job).await;
    let runner = world.start();
    let next = world.queue(&["true"]).await;
    world.result(&next).await;
    runner.drain().await;
    assert!(world.ledger().finished.iter().all(|finished| finished.job != job.id));
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn a_second_copy_of_a_job_is_not_run_again() {
    let world = World::new().await;
    let mut settings = world.settings();
    settings.slots = 2;
    let runner = world.start_with(settings);
    let job = world.queue(&["echo begun; sleep 0.5"]).await;
    world.until_logged(&job, "\nbegun\n").await;
    world.publish(&job).await;
    world.result(&job).await;
    // Asked for once ours is recorded, and dropped.
    world.until(|ledger| (ledger.claims.len() == 2).then_some(())).await;
    runner.drain().await;
    assert_eq!(world.ledger().finished.len(), 1);
    assert_eq!(world.waiting().await, 0, "both copies are settled");
}

#[tokio::test]
async fn a_job_waits_for_a_dispatcher_that_is_away() {
    let world = World::new().await;
    world.ledger().away = true;
    let runner = world.start();
    let job = world.queue(&["true"]).await;
    // Longer than one question waits.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(world.ledger().finished.is_empty());
    world.ledger().away = false;
    assert_eq!(world.result(&job).await.0.outcome, Outcome::Passed);
    runner.drain().await;
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_gives_back_what_waits() {
    let world = World::new().await;
    let runner = world.start();
    let first = world.queue(&["echo begun; sleep 0.5; echo done"]).await;
    world.until_logged(&first, "\nbegun\n").await;
    world.queue(&["true"]).await;
    runner.drain().await;
    assert_eq!(world.result(&first).await.0.outcome, Outcome::Passed);
    assert_eq!(world.waiting().await, 1, "the second waits for another runner");
    assert_eq!(world.ledger().claims.len(), 1);
}

#[tokio::test]
async fn a_hurried_stop_hands_the_job_back_and_leaves_no_process() {
    let world = World::new().await;
    let runner = world.start();
    let pid = world.folder.path().join("pid");
    let mut job = world.job(&["echo $$ >\"$PID\"; sleep 1000"]);
    job.spec.env.insert("PID".into(), pid.to_str().expect("is text").into());
    world.publish(&job).await;
    let step = pid_in(&pid).await;
    runner.stop.now.cancel();
    tokio::time::timeout(Duration::from_secs(10), runner.task)
        .await
        .expect("leaves")
        .expect("no panic")
        .expect("no error");
    assert!(!lives(step));
    assert_eq!(world.ledger().handed_back.len(), 1);
    assert!(world.ledger().finished.is_empty());
    assert_eq!(world.waiting().await, 0, "acked after the hand-back was taken");
}

#[tokio::test]
async fn a_drain_limit_hands_back_what_does_not_end() {
    let world = World::new().await;
    let mut settings = world.settings();
    settings.drain_limit = Duration::from_millis(300);
    let runner = world.start_with(settings);
    let job = world.queue(&["echo begun; sleep 1000"]).await;
    world.until_logged(&job, "\nbegun\n").await;
    runner.drain().await;
    assert_eq!(world.ledger().handed_back.len(), 1);
}

#[tokio::test]
async fn a_result_outlives_the_runner_and_is_sent_by_its_next_life() {
    let world = World::new().await;
    let runner = world.start();
    let job = world.queue(&["echo begun; sleep 0.3; echo done"]).await;
    world.until_logged(&job, "\nbegun\n").await;
    world.ledger().away = true;
    let results = || {
        let spool = std::fs::read_dir(world.data().join("runner-1/spool")).expect("reads");
        spool.flatten().filter(|entry| entry.path().join("result.json").exists()).count()
    };
    eventually("the result is in the spool", || results() == 1).await;
    // Like the end of the process: no drain, no goodbye.
    runner.task.abort();
    assert!(runner.task.await.is_err());
    // Whatever it sent is lost.
    world.broker.ensure(&[]).await.expect("declares");
    let again = world.start();
    world.ledger().away = false;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed);
    assert!(log.ends_with("\ndone\n"), "{log}");
    eventually("the spool is empty once it is recorded", || results() == 0).await;
    again.drain().await;
    let ledger = world.ledger();
    let names: std::collections::BTreeSet<_> = ledger.beats.iter().map(|beat| beat.runner.clone()).collect();
    assert_eq!(names.len(), 1, "the name outlives the process");
}

#[tokio::test]
async fn two_runners_share_one_data_folder() {
    let world = World::new().await;
    let (one, two) = (world.start(), world.start());
    let jobs = [world.queue(&["sleep 0.3"]).await, world.queue(&["sleep 0.3"]).await];
    for job in &jobs {
        world.result(job).await;
    }
    let runners: std::collections::BTreeSet<_> =
        world.ledger().finished.iter().map(|finished| finished.runner.clone()).collect();
    assert_eq!(runners.len(), 2);
    one.drain().await;
    two.drain().await;
}
