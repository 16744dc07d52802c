//! When a published job counts as lost.

use jiff::Timestamp;
use messages::MessageId;

use super::*;

/// In ticks: the first wait and the longest.
const PATIENCE: (u32, u32) = (5, 300);

fn published(publications: u32) -> Published {
    let job = JobId(MessageId::of(&["job"]).0);
    Published { job, pool: PoolName::default(), published_at: Timestamp::UNIX_EPOCH, publications }
}

fn is_lost(job: &Published, ready: Option<u64>, waited: Option<u32>) -> bool {
    let ready = ready.map(|ready| (PoolName::default(), ready)).into_iter().collect();
    !lost(std::slice::from_ref(job), &ready, |_| waited, PATIENCE).is_empty()
}

#[test]
fn a_job_is_lost_when_its_queue_is_empty_nobody_holds_it_and_it_had_its_time() {
    assert!(is_lost(&published(1), Some(0), Some(5)));
    assert!(!is_lost(&published(1), Some(0), Some(4)));
    assert!(!is_lost(&published(1), Some(1), Some(1000)), "it may be the one that waits");
    assert!(!is_lost(&published(1), Some(0), None), "a runner holds it");
    assert!(!is_lost(&published(1), None, Some(1000)), "nothing is known of the queue");
}

#[test]
fn each_publication_is_given_twice_the_time_of_the_one_before() {
    assert!(!is_lost(&published(3), Some(0), Some(19)));
    assert!(is_lost(&published(3), Some(0), Some(20)));
    assert!(is_lost(&published(u32::MAX), Some(0), Some(300)), "but it is never given up");
}
