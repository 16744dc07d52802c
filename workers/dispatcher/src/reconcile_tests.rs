//! When a published job counts as lost.

use messages::MessageId;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn published(publications: u32) -> Published {
    let job = JobId(MessageId::of(&["job"]).0);
    Published { job, pool: PoolName::default(), published_at: at(1000), publications }
}

fn is_lost(job: &Published, ready: Option<u64>, held: bool, now: i64) -> bool {
    let ready = ready.map(|ready| (PoolName::default(), ready)).into_iter().collect();
    !lost(std::slice::from_ref(job), &ready, |_| held, at(now), PATIENCE).is_empty()
}

#[test]
fn a_job_is_lost_when_its_queue_is_empty_nobody_holds_it_and_it_had_its_time() {
    assert!(is_lost(&published(1), Some(0), false, 1005));
    assert!(!is_lost(&published(1), Some(0), false, 1004));
    assert!(!is_lost(&published(1), Some(1), false, 2000), "it may be the one that waits");
    assert!(!is_lost(&published(1), Some(0), true, 2000), "a runner holds it");
    assert!(!is_lost(&published(1), None, false, 2000), "nothing is known of the queue");
}

#[test]
fn each_publication_is_given_twice_the_time_of_the_one_before() {
    assert!(!is_lost(&published(3), Some(0), false, 1019));
    assert!(is_lost(&published(3), Some(0), false, 1020));
    assert!(is_lost(&published(u32::MAX), Some(0), false, 1300), "but it is never given up");
}

#[test]
fn a_clock_that_was_set_back_floods_no_queue() {
    assert!(!is_lost(&published(1), Some(0), false, 10));
}
