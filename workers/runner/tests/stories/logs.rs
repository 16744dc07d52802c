//! The log is byte for byte what the job wrote, or says where it was cut.

use std::fmt::Write as _;

use messages::Outcome;
use sha2::{Digest, Sha256};

use crate::world::World;

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[tokio::test]
async fn a_large_log_arrives_byte_for_byte() {
    let world = World::new().await;
    let runner = world.start();
    let out = world.folder.path().join("written");
    let mut job = world.job(&["head -c 50000000 /dev/urandom | tee \"$OUT\""]);
    job.spec.env.insert("OUT".into(), out.to_str().expect("is text").into());
    world.publish(&job).await;
    let (finished, _) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed);
    let log = world.ledger().log(job.id);
    assert_eq!(hash(&log), finished.log_sha256);
    let written = std::fs::read(out).expect("reads");
    assert!(log.ends_with(&written), "{} of {}", log.len(), written.len());
    runner.drain().await;
}

#[tokio::test]
async fn a_log_beyond_its_limit_is_cut_with_words_and_the_job_goes_on() {
    let world = World::new().await;
    let mut settings = world.settings();
    settings.max_log_bytes = 1000;
    let runner = world.start_with(settings);
    let job = world.queue(&["yes | head -c 1000000", "exit 3"]).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.steps.last().map(|step| step.end), Some(messages::StepEnd::Exited { code: 3 }));
    assert!(log.contains("[thump: the log is cut here, at its limit of 1000 bytes"), "{log}");
    assert!(log.len() < 1300);
    assert_eq!(hash(log.as_bytes()), finished.log_sha256);
    runner.drain().await;
}

#[tokio::test]
async fn a_line_is_seen_while_the_job_still_runs() {
    let world = World::new().await;
    let runner = world.start();
    let go = world.folder.path().join("go");
    let mut job = world.job(&["echo seen; while ! [ -e \"$GO\" ]; do sleep 0.01; done"]);
    job.spec.env.insert("GO".into(), go.to_str().expect("is text").into());
    world.publish(&job).await;
    world.until_logged(&job, "\nseen\n").await;
    assert!(world.ledger().finished.is_empty());
    std::fs::write(go, "").expect("writes");
    world.result(&job).await;
    runner.drain().await;
}

#[tokio::test]
async fn a_gap_is_filled_when_it_is_asked_for() {
    let world = World::new().await;
    let runner = world.start();
    let job = world.job(&["head -c 300000 /dev/zero"]);
    // The dispatcher forgets what it had and asks for it, once.
    world.ledger().log_from.insert(job.id, 0);
    world.ledger().orders.insert(job.id, messages::Order::Continue);
    world.publish(&job).await;
    world.result(&job).await;
    world.ledger().logs.clear();
    world.ledger().log_from.insert(job.id, 0);
    let (finished, _) = world.result(&job).await;
    let log = world.ledger().log(job.id);
    assert_eq!(hash(&log), finished.log_sha256);
    world.ledger().orders.clear();
    runner.drain().await;
}
