//! When a job ends, no process of it remains, whatever it did.

use std::time::{Duration, Instant};

use messages::{CancelAttempt, Envelope, MessageId, Order, Outcome, StepEnd};

use crate::world::{World, eventually, lives, pid_in};

/// Leaves the session and the process group, keeps the job's output open, and ignores SIGTERM.
const DAEMON: &str = "setsid sh -c 'trap \"\" TERM; echo $$ >\"$PIDS/daemon\"; while :; do sleep 1; done' &";

/// A world with a folder where jobs write their process ids.
async fn world_with_pids() -> (World, String) {
    let world = World::new().await;
    let pids = world.folder.path().join("pids");
    std::fs::create_dir(&pids).expect("makes a folder");
    let pids = pids.to_str().expect("is text").to_owned();
    (world, pids)
}

#[tokio::test]
async fn a_daemon_that_keeps_the_output_open_neither_hangs_the_job_nor_survives_it() {
    let (world, pids) = world_with_pids().await;
    let runner = world.start();
    let mut job = world.job(&[DAEMON, "while ! [ -s \"$PIDS/daemon\" ]; do sleep 0.01; done; echo last"]);
    job.spec.env.insert("PIDS".into(), pids.clone());
    world.publish(&job).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed);
    assert!(log.ends_with("\nlast\n"), "{log}");
    assert!(!lives(pid_in(format!("{pids}/daemon").as_ref()).await));
    runner.drain().await;
}

#[tokio::test]
async fn a_job_past_its_time_limit_is_gone_with_all_it_started() {
    let (world, pids) = world_with_pids().await;
    let runner = world.start();
    let mut job = world.job(&[&format!("{DAEMON} trap '' TERM; echo $$ >\"$PIDS/step\"; while :; do sleep 1; done")]);
    job.spec.env.insert("PIDS".into(), pids.clone());
    job.spec.timeout_seconds = 1;
    world.publish(&job).await;
    let (finished, _) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::TimedOut { silence_seconds: None });
    assert_eq!(finished.steps[0].end, StepEnd::Stopped);
    for name in ["step", "daemon"] {
        assert!(!lives(pid_in(format!("{pids}/{name}").as_ref()).await), "{name}");
    }
    runner.drain().await;
}

#[tokio::test]
async fn a_cancel_stops_the_job_by_message_and_by_beat() {
    let (world, pids) = world_with_pids().await;
    let runner = world.start();
    for by_beat in [true, false] {
        let mut job = world.job(&["echo $$ >\"$PIDS/step\"; echo begun; sleep 1000"]);
        job.spec.env.insert("PIDS".into(), pids.clone());
        world.publish(&job).await;
        world.until_logged(&job, "\nbegun\n").await;
        if by_beat {
            world.ledger().orders.insert(job.id, Order::Cancel);
        } else {
            let to = world.until(|ledger| ledger.claims.last().map(|claim| claim.runner.clone())).await;
            let cancel = CancelAttempt { job: job.id, attempt: messages::AttemptNumber::FIRST };
            let envelope = Envelope::of(&cancel, MessageId(uuid::Uuid::new_v4())).expect("packs");
            let key = broker::Topic::Runner(to).key();
            let outgoing = broker::Outgoing::new(broker::Exchange::Control, key, envelope);
            world.broker.publish(outgoing).await.expect("publishes");
        }
        let (finished, _) = world.result(&job).await;
        assert_eq!(finished.outcome, Outcome::Cancelled);
        assert!(!lives(pid_in(format!("{pids}/step").as_ref()).await));
        world.ledger().orders.clear();
    }
    runner.drain().await;
}

#[tokio::test]
async fn a_void_attempt_is_stopped_and_reports_nothing() {
    let (world, pids) = world_with_pids().await;
    let runner = world.start();
    let mut job = world.job(&["echo $$ >\"$PIDS/step\"; echo begun; sleep 1000"]);
    job.spec.env.insert("PIDS".into(), pids.clone());
    world.publish(&job).await;
    world.until_logged(&job, "\nbegun\n").await;
    let step = pid_in(format!("{pids}/step").as_ref()).await;
    {
        let mut ledger = world.ledger();
        ledger.refuse.push(job.id);
        ledger.orders.insert(job.id, Order::Void);
    }
    eventually("the step is gone", || !lives(step)).await;
    world.until(|ledger| (ledger.claims.len() == 2).then_some(())).await;
    runner.drain().await;
    assert!(world.ledger().finished.is_empty());
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn many_jobs_with_daemons_on_many_slots_leave_none() {
    let (world, pids) = world_with_pids().await;
    let mut settings = world.settings();
    settings.slots = 4;
    let runner = world.start_with(settings);
    let mut jobs = Vec::new();
    for number in 0..20 {
        let step =
            format!("for n in 1 2 3; do setsid sh -c 'echo $$ >\"$PIDS/'{number}-$n'\"; exec sleep 1000' & done");
        let mut job =
            world.job(&[&step, &format!("while [ $(cat \"$PIDS/{number}\"-? | wc -l) != 3 ]; do sleep 0.02; done")]);
        job.spec.env.insert("PIDS".into(), pids.clone());
        world.publish(&job).await;
        jobs.push(job);
    }
    for job in &jobs {
        let (finished, log) = world.result(job).await;
        assert_eq!(finished.outcome, Outcome::Passed, "{log}");
    }
    let daemons: Vec<_> = std::fs::read_dir(&pids).expect("reads").flatten().map(|entry| entry.path()).collect();
    assert_eq!(daemons.len(), 60);
    for daemon in daemons {
        assert!(!lives(pid_in(&daemon).await));
    }
    runner.drain().await;
    assert_eq!(world.ledger().finished.len(), 20);
}

#[tokio::test]
async fn a_job_that_kills_its_supervisor_leaves_nothing_and_is_not_red() {
    let (world, pids) = world_with_pids().await;
    let runner = world.start();
    let mut job = world.job(&["echo $$ >\"$PIDS/step\"; kill -9 $PPID; sleep 1000"]);
    job.spec.env.insert("PIDS".into(), pids.clone());
    world.publish(&job).await;
    let (finished, _) = world.result(&job).await;
    assert!(matches!(finished.outcome, Outcome::Errored { worth_retrying: true, .. }), "{:?}", finished.outcome);
    assert!(!lives(pid_in(format!("{pids}/step").as_ref()).await));
    runner.drain().await;
}

/// Not a story by itself: the other process of the next one.
#[tokio::test]
#[ignore = "started by a story as a process of its own"]
async fn a_runner_to_be_killed() {
    let Ok(pids) = std::env::var("STORY_PIDS") else { return };
    let world = World::new().await;
    let _runner = world.start();
    let mut job = world.job(&[&format!("{DAEMON} trap '' TERM; echo $$ >\"$PIDS/step\"; while :; do sleep 1; done")]);
    job.spec.env.insert("PIDS".into(), pids);
    world.publish(&job).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_tree_of_a_runner_killed_with_sigkill_is_gone_within_two_seconds() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let pids = folder.path().to_str().expect("is text").to_owned();
    let mut runner = std::process::Command::new(std::env::current_exe().expect("has a path"))
        .args(["--exact", "trees::a_runner_to_be_killed", "--ignored", "--nocapture"])
        .env("STORY_PIDS", &pids)
        .env("TMPDIR", &pids)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    let step = pid_in(format!("{pids}/step").as_ref()).await;
    let daemon = pid_in(format!("{pids}/daemon").as_ref()).await;
    assert!(lives(step) && lives(daemon));
    runner.kill().expect("kills");
    runner.wait().expect("ends");
    let killed = Instant::now();
    eventually("the tree is gone", || !lives(step) && !lives(daemon)).await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
}
