//! When a runner counts as gone, and when every doubt is for it.

use messages::{AttemptNumber, JobId, MessageId};
use proptest::prelude::*;

use super::*;

fn life(name: &str) -> Incarnation {
    Incarnation(MessageId::of(&[name]).0)
}

fn runner(name: &str) -> RunnerName {
    name.parse().expect("a name")
}

fn attempt(of: &str) -> AttemptKey {
    (JobId(MessageId::of(&[of]).0), AttemptNumber::FIRST)
}

/// A takeover, and a clock that only the test moves.
struct World {
    takeover: Takeover,
    now: Instant,
    seen: bool,
}

impl World {
    fn new() -> Self {
        Self { takeover: Takeover::default(), now: Instant::now(), seen: true }
    }

    /// The copy of the holder's job is claimed by another runner.
    fn claim(&mut self, holder: &str) -> bool {
        self.takeover.ask((&runner(holder), life(holder)), attempt(holder), self.seen, self.now)
    }

    /// Waits for the next round and gives the probes these answers.
    fn round(&mut self, answers: &[(&str, Found)]) -> Vec<String> {
        let findings = self.probe(answers);
        self.conclude(&findings)
    }

    fn probe(&mut self, answers: &[(&str, Found)]) -> Findings {
        self.now = self.now.max(self.takeover.next().expect("a round is due"));
        let round = self.takeover.begin(self.now, |_| true).expect("a round is due");
        let sent = self.now;
        self.now += Duration::from_millis(1);
        let found: Vec<_> = answers.iter().map(|(name, found)| (runner(name), *found)).collect();
        for holder in &round.holders {
            assert!(found.iter().any(|(name, _)| name == holder), "{holder} is probed too");
        }
        Findings { number: round.number, found, sent, heard: self.now }
    }

    fn conclude(&mut self, findings: &Findings) -> Vec<String> {
        let gone = self.takeover.conclude(findings, |_, _| self.seen);
        gone.into_iter().map(|(runner, _)| runner.to_string()).collect()
    }
}

const NOBODY: [&str; 0] = [];

#[test]
fn a_runner_that_is_missing_twice_a_grace_apart_is_gone() {
    let mut world = World::new();
    let begun = world.now;
    assert!(world.claim("north"), "the claim waits");
    assert_eq!(world.round(&[("north", Found::Missing), ("south", Found::There)]), NOBODY);
    assert_eq!(world.round(&[("north", Found::Missing), ("south", Found::There)]), ["north"]);
    assert!((GRACE..GRACE + LOOK_AGAIN).contains(&world.now.duration_since(begun)));
    assert_eq!(world.takeover.next(), None, "nothing is left to do");
}

#[test]
fn a_runner_whose_copy_comes_before_its_queue_is_deleted_is_gone_a_moment_later() {
    let mut world = World::new();
    world.claim("north");
    assert_eq!(world.round(&[("north", Found::There)]), NOBODY);
    assert!(world.takeover.is_open(&runner("north")), "the claim still waits");
    assert_eq!(world.round(&[("north", Found::Missing)]), NOBODY);
    assert_eq!(world.round(&[("north", Found::Missing)]), ["north"]);
}

#[test]
fn a_runner_that_is_there_is_watched_and_its_later_death_is_found() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::There)]);
    world.round(&[("north", Found::There)]);
    assert!(!world.takeover.is_open(&runner("north")), "the copy is dropped");
    for _ in 0..10 {
        let before = world.now;
        assert_eq!(world.round(&[("north", Found::There)]), NOBODY);
        assert!(world.now.duration_since(before) >= WATCH_EVERY, "it is not probed more often than that");
    }
    assert_eq!(world.round(&[("north", Found::Missing)]), NOBODY);
    assert_eq!(world.round(&[("north", Found::Missing)]), ["north"]);
}

#[test]
fn a_runner_that_reconnects_within_the_grace_keeps_its_job() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    assert_eq!(world.round(&[("north", Found::There)]), NOBODY);
    assert!(!world.takeover.is_open(&runner("north")));
}

#[test]
fn a_word_from_the_runner_between_the_probes_starts_the_grace_anew() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    // The second probe is under way when the hello is read.
    let findings = world.probe(&[("north", Found::Missing)]);
    world.takeover.heard(&runner("north"), life("north"), world.now);
    assert_eq!(world.conclude(&findings), NOBODY);
    // It was its last word, for it is still not there.
    assert_eq!(world.round(&[("north", Found::Missing)]), ["north"]);
}

#[test]
fn of_several_that_go_missing_at_once_each_waits_for_its_hello() {
    let mut world = World::new();
    assert!(world.claim("north"));
    assert_eq!(world.round(&[("north", Found::Missing), ("idle", Found::Missing)]), NOBODY);
    assert!(!world.takeover.is_open(&runner("north")));
    for _ in 0..10 {
        assert_eq!(world.round(&[("north", Found::Missing), ("idle", Found::There)]), NOBODY);
    }
    // After its hello it is like everybody else.
    world.takeover.heard(&runner("north"), life("north"), world.now);
    world.round(&[("north", Found::Missing)]);
    assert_eq!(world.round(&[("north", Found::Missing)]), ["north"]);
}

#[test]
fn who_goes_missing_shortly_after_another_was_taken_over_is_excused() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    assert_eq!(world.round(&[("north", Found::Missing)]), ["north"]);
    assert!(world.claim("south"));
    world.round(&[("south", Found::Missing)]);
    assert!(!world.takeover.is_open(&runner("south")));
}

#[test]
fn who_went_missing_long_before_is_no_excuse() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    assert_eq!(world.round(&[("north", Found::Missing)]), ["north"]);
    world.now += SAME_MOMENT;
    world.claim("south");
    world.round(&[("south", Found::Missing), ("north", Found::Missing)]);
    assert_eq!(world.round(&[("south", Found::Missing), ("north", Found::Missing)]), ["south"]);
}

#[test]
fn after_a_break_of_the_own_connection_nobody_is_gone_before_it_was_seen_again() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    let findings = world.probe(&[("north", Found::Missing)]);
    world.takeover.broken();
    world.seen = false;
    assert_eq!(world.conclude(&findings), NOBODY, "what was found before the break says nothing");
    assert!(!world.takeover.is_open(&runner("north")));
    // A beat that was sent before the break and is read after it.
    world.takeover.heard(&runner("north"), life("north"), world.now);
    for _ in 0..5 {
        assert_eq!(world.round(&[("north", Found::Missing)]), NOBODY);
    }
    assert!(!world.claim("south"), "nor are others taken over");
}

#[test]
fn a_new_life_ends_the_inquiry_about_the_old_one() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    world.takeover.heard(&runner("north"), life("reborn"), world.now);
    assert!(!world.takeover.is_open(&runner("north")));
    assert_eq!(world.takeover.next(), None);
}

#[test]
fn nobody_is_probed_for_attempts_that_are_over() {
    let mut world = World::new();
    world.claim("north");
    world.round(&[("north", Found::Missing)]);
    world.now = world.takeover.next().expect("due");
    assert_eq!(world.takeover.begin(world.now, |_| false), None);
    assert_eq!(world.takeover.next(), None);
}

#[test]
fn a_round_whose_findings_are_lost_is_followed_by_another() {
    let mut world = World::new();
    world.claim("north");
    let lost = world.probe(&[("north", Found::Missing)]);
    assert_eq!(world.takeover.next(), Some(lost.sent + ROUND_LIMIT));
    world.round(&[("north", Found::Missing)]);
    assert_eq!(world.conclude(&lost), NOBODY, "and count for nothing when they come after all");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Claim,
    Round(Found, Found),
    Hello,
    Break,
    Seen,
    Wait(u64),
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![4 => Just(Found::Missing), 2 => Just(Found::There), 1 => Just(Found::Unclear)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let witness = prop_oneof![6 => Just(Found::There), 1 => Just(Found::Missing)];
    let step = prop_oneof![
        2 => Just(Step::Claim),
        8 => (found(), witness).prop_map(|(holder, other)| Step::Round(holder, other)),
        1 => Just(Step::Hello),
        1 => Just(Step::Break),
        1 => Just(Step::Seen),
        1 => (0..1500_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    /// Whatever happens in whatever order: gone means missing in two probes at least a grace apart, with
    /// nothing between them that speaks for the runner.
    #[test]
    fn nobody_is_gone_without_two_probes_and_a_grace_of_silence(steps in steps()) {
        let mut world = World::new();
        // Since its last proof of life, and since the last takeover as well.
        let (mut missing_since, mut silent_since) = (None, None);
        let mut other_missing: Option<Instant> = None;
        for step in steps {
            match step {
                Step::Claim => drop(world.claim("north")),
                Step::Hello => {
                    world.takeover.heard(&runner("north"), life("north"), world.now);
                    (missing_since, silent_since) = (None, None);
                }
                Step::Break => {
                    world.takeover.broken();
                    world.seen = false;
                    (missing_since, silent_since, other_missing) = (None, None, None);
                }
                Step::Seen => world.seen = true,
                Step::Wait(milliseconds) => world.now += Duration::from_millis(milliseconds),
                Step::Round(holder, other) => {
                    if world.takeover.next().is_none() {
                        continue;
                    }
                    let findings = world.probe(&[("north", holder), ("other", other)]);
                    match holder {
                        Found::Missing => drop(missing_since.get_or_insert(findings.heard)),
                        Found::There => (missing_since, silent_since) = (None, None),
                        Found::Unclear => silent_since = None,
                    }
                    match other {
                        Found::Missing => drop(other_missing.get_or_insert(findings.heard)),
                        Found::There => other_missing = None,
                        Found::Unclear => {}
                    }
                    let gone = world.conclude(&findings);
                    if gone.is_empty() {
                        if holder == Found::Missing {
                            silent_since.get_or_insert(findings.heard);
                        }
                        continue;
                    }
                    prop_assert!(world.seen);
                    prop_assert_eq!(holder, Found::Missing);
                    let since: Instant = silent_since.take().expect("it was missing before");
                    prop_assert!(findings.sent.duration_since(since) >= GRACE);
                    if let (Some(when), Some(since)) = (other_missing, missing_since) {
                        prop_assert!(when.max(since).duration_since(when.min(since)) >= SAME_MOMENT);
                    }
                }
            }
            let next = world.takeover.next();
            prop_assert!(next.is_none_or(|next| next <= world.now + ROUND_LIMIT), "no inquiry is forgotten");
        }
    }
}
