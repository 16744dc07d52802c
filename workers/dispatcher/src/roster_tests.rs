//! Which life of a runner is the living one, whatever order its words are delivered in.

use messages::MessageId;
use proptest::prelude::*;

use super::*;

const PATIENCE: u32 = 15;

fn roster() -> Roster {
    Roster::new(PATIENCE, 6)
}

fn life(folder: &str, number: u64) -> (Incarnation, Birth) {
    let incarnation = Incarnation(MessageId::of(&[folder, &number.to_string()]).0);
    (incarnation, Birth { folder: MessageId::of(&[folder]).0, number })
}

fn beat((incarnation, birth): (Incarnation, Birth), sequence: u64) -> Beat {
    Beat {
        runner: "north".parse().expect("a name"),
        incarnation,
        birth,
        sequence,
        pool: PoolName::default(),
        slots: 1,
        draining: false,
        trouble: None,
        version: String::new(),
        held: Vec::new(),
        running: Vec::new(),
        finished: Vec::new(),
    }
}

fn remembered((incarnation, birth): (Incarnation, Birth), state: RunnerState) -> RunnerView {
    RunnerView {
        name: "north".parse().expect("a name"),
        incarnation,
        birth: Some(birth),
        pool: PoolName::default(),
        state,
        trouble: None,
        slots: 1,
        version: String::new(),
        attempts: Vec::new(),
        last_seen: jiff::Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn after_a_restart_the_last_words_of_a_dead_life_do_not_ban_the_living_one() {
    let (dead, living) = (life("folder", 1), life("folder", 2));
    for state in [RunnerState::Idle, RunnerState::Gone] {
        let mut roster = roster();
        roster.remember(&remembered(living, state));
        // A dispatcher that died held this beat; the broker gave it back behind the newer ones.
        assert_eq!(roster.hear(&beat(dead, 7)), Heard::Former);
        assert_eq!(roster.hear(&beat(living, 1)), Heard::NewLife, "the first that this dispatcher hears");
        assert_eq!(roster.hear(&beat(dead, 8)), Heard::Former);
        assert_eq!(roster.hear(&beat(living, 2)), Heard::Now);
    }
}

#[test]
fn an_order_that_was_never_noted_is_found_by_the_count() {
    let mut roster = roster();
    assert_eq!(roster.hear(&beat(life("folder", 1), 7)), Heard::NewLife);
    assert_eq!(roster.hear(&beat(life("folder", 3), 1)), Heard::NewLife);
    assert_eq!(roster.hear(&beat(life("folder", 2), 9)), Heard::Former, "never heard before, and dead all the same");
    assert_eq!(roster.hear(&beat(life("folder", 3), 2)), Heard::Now);
}

#[test]
fn of_two_runners_with_one_name_the_other_one_is_heard_when_the_first_has_gone() {
    let (one, two) = (life("here", 1), life("there", 1));
    let mut roster = roster();
    roster.hear(&beat(one, 1));
    roster.hear(&beat(two, 1));
    assert_eq!(roster.hear(&beat(one, 2)), Heard::Former);
    (0..PATIENCE).for_each(|_| drop(roster.tick()));
    assert_eq!(roster.hear(&beat(one, 3)), Heard::NewLife, "nobody is banned for ever");
    assert_eq!(roster.hear(&beat(two, 2)), Heard::Former);
}

proptest! {
    /// Copies of beats of any life of one folder, in any order, with restarts of the dispatcher in between: once
    /// the newest life was heard, it stays the living one.
    #[test]
    fn the_newest_life_is_never_former(heard in proptest::collection::vec((1_u64..5, 1_u64..20, any::<bool>()), 1..60)) {
        let mut board = roster();
        let mut newest = 0;
        for (number, sequence, restart) in heard {
            let judged = board.hear(&beat(life("folder", number), sequence));
            prop_assert_eq!(judged == Heard::Former, number < newest);
            newest = newest.max(number);
            if restart {
                // What the ledger was told: every first beat of a life is noted before it is acked.
                board = roster();
                board.remember(&remembered(life("folder", newest), RunnerState::Busy));
            }
        }
    }
}
