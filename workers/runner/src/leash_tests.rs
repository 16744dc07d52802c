//! What lets an exclusive attempt run on, and what does not.

use messages::{AttemptOrder, Incarnation, LEASE, MessageId, TICK};
use proptest::prelude::*;

use super::*;

const ATTEMPT: AttemptNumber = AttemptNumber::FIRST;

fn job() -> JobId {
    JobId(MessageId::of(&["job"]).0)
}

fn at(start: Moment, milliseconds: u64) -> Moment {
    start.after(Duration::from_millis(milliseconds))
}

fn answer(sequence: u64, order: Order) -> BeatAnswer {
    let orders = vec![AttemptOrder { job: job(), attempt: ATTEMPT, order, log_from: None }];
    BeatAnswer { incarnation: Incarnation(MessageId::of(&["life"]).0), sequence, orders, drain: false }
}

#[test]
fn an_answer_counts_from_the_moment_at_which_its_beat_was_sent() {
    let (start, mut sent) = (Moment::now(), Sent::default());
    sent.note(1, at(start, 0), vec![(job(), ATTEMPT)]);
    sent.note(2, at(start, 5000), vec![(job(), ATTEMPT)]);
    assert_eq!(sent.confirmed(&answer(1, Order::Continue)), [(job(), at(start, 12_000))]);
    assert_eq!(sent.confirmed(&answer(2, Order::Cancel)), [(job(), at(start, 17_000))]);
}

#[test]
fn what_does_not_confirm_the_attempt_does_not_prolong_it() {
    let (start, mut sent) = (Moment::now(), Sent::default());
    sent.note(1, at(start, 0), Vec::new());
    sent.note(2, at(start, 100), vec![(job(), ATTEMPT.next())]);
    sent.note(3, at(start, 200), vec![(job(), ATTEMPT)]);
    assert_eq!(sent.confirmed(&answer(1, Order::Continue)), [], "written before the attempt began");
    assert_eq!(sent.confirmed(&answer(2, Order::Continue)), [], "about another attempt");
    assert_eq!(sent.confirmed(&answer(3, Order::Void)), []);
    assert_eq!(sent.confirmed(&answer(9, Order::Continue)), [], "a beat that was never sent");
}

/// The dispatcher as far as the lease is concerned: the beats that it has read, and its ticks, in the order of
/// the queue. Milliseconds.
fn lease_ends(read: u64, first_tick: u64, delays: &[u64]) -> u64 {
    // A tick is sent when a second has passed and the one before is confirmed.
    let tick = u64::try_from(TICK.as_millis()).expect("small");
    let mut sent = first_tick;
    let mut left = LEASE.as_secs();
    for delay in delays.iter().cycle() {
        let confirmed = sent + delay;
        if confirmed >= read {
            left -= 1;
            if left == 0 {
                // It can be in the queue, and be read, as soon as it is sent.
                return sent;
            }
        }
        sent = (sent + tick).max(confirmed);
    }
    unreachable!("the delays are repeated for ever")
}

proptest! {
    /// However long beats, answers and ticks take: between the moment at which the holder is killed and the end of
    /// the lease that makes room for a successor is time for the killing.
    #[test]
    fn two_attempts_of_an_exclusive_job_never_overlap(
        gaps in proptest::collection::vec(50_u64..5000, 1..8),
        latency in 0_u64..4000,
        answered in 0_usize..8,
        phase in 0_u64..1000,
        delays in proptest::collection::vec(0_u64..3000, 1..20),
    ) {
        let (start, mut sent) = (Moment::now(), Sent::default());
        let mut clock = 20_000;
        let mut read = 0;
        let mut until = None;
        for (number, gap) in gaps.iter().enumerate() {
            clock += gap;
            let sequence = number as u64;
            sent.note(sequence, at(start, clock), vec![(job(), ATTEMPT)]);
            if number <= answered {
                // The broker has it later than it was sent, and the dispatcher reads it no earlier.
                read = clock + latency;
                until = sent.confirmed(&answer(sequence, Order::Continue)).first().map(|(_, until)| *until);
            }
        }
        let killed = until.expect("the first is answered").instant().duration_since(start.instant());
        let ends = Duration::from_millis(lease_ends(read, 20_000 - phase, &delays));
        prop_assert!(killed + Duration::from_millis(900) <= ends, "killed at {killed:?}, the lease ends at {ends:?}");
    }
}
