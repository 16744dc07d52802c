//! When a lease ends, and when it must not.

use messages::MessageId;
use proptest::prelude::*;

use super::*;

const FULL: u32 = 3;
const KNOWN: Terms = Terms { is_known: true, exclusive: false };

fn life(name: &str) -> Incarnation {
    Incarnation(MessageId::of(&[name]).0)
}

struct Attempt {
    runner: RunnerName,
    job: JobId,
    token: AttemptToken,
}

impl Attempt {
    fn of(job: &str) -> Self {
        let runner = "north".parse().expect("a name");
        Self { runner, job: JobId(MessageId::of(&[job]).0), token: AttemptToken::from_random([1; 16]) }
    }

    fn proof(&self) -> Proof<'_> {
        Proof { runner: &self.runner, job: self.job, attempt: AttemptNumber::FIRST, token: &self.token }
    }
}

fn granted() -> (Leases, Attempt) {
    let (mut leases, attempt) = (Leases::new(FULL), Attempt::of("one"));
    leases.grant(attempt.proof(), life("first"), KNOWN);
    (leases, attempt)
}

#[test]
fn a_lease_that_nobody_renews_ends_after_its_ticks_and_only_once() {
    let (mut leases, attempt) = granted();
    assert!((1..FULL).all(|_| leases.tick().is_empty()));
    assert_eq!(leases.tick().first().map(|(job, _)| *job), Some(attempt.job));
    assert!(leases.tick().is_empty());
    assert_eq!((leases.len(), leases.count_of(&attempt.runner)), (0, 0));
}

#[test]
fn after_a_break_of_the_dispatcher_every_lease_begins_anew() {
    let (mut leases, _) = granted();
    leases.tick();
    leases.tick();
    leases.refresh();
    assert!((1..FULL).all(|_| leases.tick().is_empty()));
}

#[test]
fn nobody_renews_or_takes_what_is_not_his() {
    let (mut leases, attempt) = granted();
    let stranger = "south".parse().expect("a name");
    let forged = AttemptToken::from_random([2; 16]);
    for proof in [
        Proof { token: &forged, ..attempt.proof() },
        Proof { runner: &stranger, ..attempt.proof() },
        Proof { attempt: AttemptNumber::FIRST.next(), ..attempt.proof() },
    ] {
        assert!(leases.renew(proof, life("first")).is_none());
    }
    leases.renew_held(attempt.job, &stranger, life("first"));
    assert!(leases.end(attempt.job, AttemptNumber::FIRST.next()).is_none());
    assert!((1..FULL).all(|_| leases.tick().is_empty()));
    assert_eq!(leases.tick().len(), 1);
}

#[test]
fn a_new_life_leaves_behind_what_it_does_not_list() {
    let (mut leases, kept) = granted();
    let forgotten = Attempt::of("two");
    leases.grant(forgotten.proof(), life("first"), KNOWN);
    leases.renew(kept.proof(), life("second"));
    let left = leases.left_behind(&kept.runner, life("second"));
    assert_eq!(left, [((forgotten.job, AttemptNumber::FIRST), LossCause::RunnerLost)]);
}

#[test]
fn a_repeated_claim_does_not_count_twice() {
    let (mut leases, attempt) = granted();
    leases.grant(attempt.proof(), life("first"), KNOWN);
    assert_eq!((leases.len(), leases.count_of(&attempt.runner)), (1, 1));
}

proptest! {
    #[test]
    fn only_own_ticks_move_the_clock(renewals in prop::collection::vec(any::<bool>(), 0..40)) {
        let (mut leases, attempt) = granted();
        let mut remaining = FULL;
        for renewed in renewals {
            if renewed {
                prop_assert_eq!(leases.renew(attempt.proof(), life("first")).is_some(), remaining > 0);
                remaining = if remaining > 0 { FULL } else { 0 };
            } else {
                let ended = leases.tick().len();
                prop_assert_eq!(ended == 1, remaining == 1);
                remaining = remaining.saturating_sub(1);
            }
        }
    }
}

#[test]
fn an_attempt_whose_asker_was_never_heard_may_not_have_begun_and_is_not_held_against_its_job() {
    let (mut leases, attempt) = (Leases::new(FULL), Attempt::of("one"));
    leases.grant(attempt.proof(), life("dead"), Terms { is_known: false, exclusive: false });
    let left = leases.left_behind(&attempt.runner, life("living"));
    assert_eq!(left, [((attempt.job, AttemptNumber::FIRST), LossCause::Infrastructure)]);
    leases.renew(attempt.proof(), life("dead"));
    let left = leases.left_behind(&attempt.runner, life("living"));
    assert_eq!(left, [((attempt.job, AttemptNumber::FIRST), LossCause::RunnerLost)], "it was listed, so it began");
}

#[test]
fn an_exclusive_attempt_is_lost_by_nothing_but_the_end_of_its_lease() {
    let (mut leases, attempt) = (Leases::new(FULL), Attempt::of("one"));
    leases.grant(attempt.proof(), life("first"), Terms { is_known: true, exclusive: true });
    assert!(leases.is_exclusive(attempt.job));
    assert!(leases.left_behind(&attempt.runner, life("second")).is_empty(), "not by a new life");
    assert!(leases.of(&attempt.runner, life("first")).is_empty(), "not by probes that found nobody");
    assert!((1..FULL).all(|_| leases.tick().is_empty()));
    assert_eq!(leases.tick().len(), 1);
}
