//! A log has no gap, no repeat and no byte that was not written.

use messages::{AttemptNumber, JobId};
use sha2::{Digest, Sha256};
use store::Logs;
use uuid::Uuid;

use super::fixture::World;

const FIRST: AttemptNumber = AttemptNumber::FIRST;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn append(logs: &Logs, job: JobId, offset: u64, bytes: &[u8]) -> u64 {
    logs.append(job, FIRST, offset, bytes.to_vec()).await.expect("written").length
}

#[tokio::test]
async fn repeats_are_passed_over_and_a_gap_is_asked_for() {
    let world = World::start().await;
    let (logs, job) = (world.ledger.logs(), JobId(Uuid::now_v7()));
    assert_eq!(append(logs, job, 0, b"hello ").await, 6);
    assert_eq!(append(logs, job, 0, b"hello ").await, 6, "a repeat");
    assert_eq!(append(logs, job, 9, b"after the gap").await, 6, "left out");
    assert_eq!(append(logs, job, 3, b"lo world").await, 11, "half known, half new");
    assert_eq!(append(logs, job, u64::MAX, b"x").await, 11);
    assert_eq!(logs.state(job, FIRST).await.expect("read").length, 11);
    assert_eq!(logs.read(job, FIRST, 0, 100).await.expect("read"), b"hello world");
    assert_eq!(logs.read(job, FIRST, 6, 3).await.expect("read"), b"wor");
    assert!(logs.read(job, FIRST, 99, 3).await.expect("read").is_empty());
    assert!(logs.complete(job, FIRST, 11, &sha256(b"hello world")).await.expect("read"));
}

#[tokio::test]
async fn a_log_that_is_not_what_the_runner_has_is_cut_and_sent_again() {
    let world = World::start().await;
    let (logs, job) = (world.ledger.logs(), JobId(Uuid::now_v7()));
    append(logs, job, 0, b"hellO").await;
    let right = sha256(b"hello world");
    assert!(!logs.complete(job, FIRST, 11, &right).await.expect("read"));
    assert_eq!(logs.state(job, FIRST).await.expect("read").length, 5, "short is not wrong");
    append(logs, job, 5, b" world").await;
    assert!(!logs.complete(job, FIRST, 11, &right).await.expect("read"));
    assert_eq!(append(logs, job, 0, b"hello world").await, 11);
    assert!(logs.complete(job, FIRST, 11, &right).await.expect("read"));
    assert!(!logs.complete(job, FIRST, 5, &sha256(b"hello")).await.expect("read"), "more than there should be");
    assert_eq!(logs.state(job, FIRST).await.expect("read").length, 0);
}

#[tokio::test]
async fn a_job_that_wrote_nothing_has_a_whole_log() {
    let world = World::start().await;
    let (logs, job) = (world.ledger.logs(), JobId(Uuid::now_v7()));
    assert!(logs.complete(job, FIRST, 0, &sha256(b"")).await.expect("read"));
    assert!(!logs.complete(job, FIRST, 0, "not a hash").await.expect("read"));
    assert!(logs.read(job, FIRST, 0, 10).await.expect("read").is_empty());
}

#[tokio::test]
async fn many_senders_of_the_same_log_and_of_others_do_not_mix() {
    let world = World::start().await;
    let jobs: Vec<JobId> = (0..20).map(|_| JobId(Uuid::now_v7())).collect();
    let text = |job: &JobId| job.to_string().repeat(200);
    let mut senders = tokio::task::JoinSet::new();
    for (job, _twice) in jobs.iter().flat_map(|job| [(*job, 0), (*job, 1)]) {
        let (logs, text) = (world.ledger.logs().clone(), text(&job));
        senders.spawn(async move {
            let mut at = 0;
            while at < text.len() {
                let end = text.len().min(at + 700);
                let here = append(&logs, job, at as u64, &text.as_bytes()[at..end]).await;
                at = usize::try_from(here).expect("small").min(end);
            }
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.expect("no panic");
    }
    for job in &jobs {
        let bytes = world.ledger.logs().read(*job, FIRST, 0, usize::MAX).await.expect("read");
        assert_eq!(bytes, text(job).as_bytes());
    }
}
