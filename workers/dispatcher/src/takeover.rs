//! Whether a runner is gone whose job's copy the broker gave to another one. Pure: no clock, no I/O.
//!
//! A copy comes back when its holder's connection ends: the runner died, or it was cut off and will say
//! hello in a moment, or the broker is in trouble. Its control queue tells them apart, since that lives
//! exactly as long as the same connection. Twice not there, a grace apart and with no word from the
//! runner between, means gone: its jobs go to others without waiting for the end of its lease.
//!
//! To be wrong costs no verdict (the number of the attempt fences the old one off) but a test run for
//! nothing, so every doubt is for the holder. It is excused, until it is heard, if it was not seen since
//! the last break of our own connection, or if another runner went missing at the same moment.
//! Must not know: what is probed and how, claims and their answers, the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messages::{Incarnation, RunnerName};
use tokio::time::Instant;

use crate::settled::AttemptKey;

/// How long a runner has between the two probes: longer than a first reconnect takes.
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// The broker may give a dead runner's copies away a moment before it deletes its control queue.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often a holder is looked at whose copy was dropped: no redelivery will tell of its death.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// What is due so soon is looked at in the same round.
const ROUND_UP: Duration = Duration::from_millis(100);
/// Runners that go missing within this time may have a common cause, and that is not their death.
const SAME_MOMENT: Duration = Duration::from_secs(2);
/// So long it is known of a runner that it went missing.
const REMEMBER: Duration = Duration::from_secs(60);
/// A round whose findings do not come back within this time is given up.
const ROUND_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Takeover {
    inquiries: BTreeMap<RunnerName, Inquiry>,
    /// When a runner's control queue was first found missing.
    missing: BTreeMap<RunnerName, Instant>,
    /// Counts the rounds.
    number: u64,
    /// When the round that is under way began.
    begun: Option<Instant>,
}

/// What is asked about one runner.
#[derive(Debug)]
struct Inquiry {
    life: Incarnation,
    /// The attempts whose copies have come back.
    copies: BTreeSet<AttemptKey>,
    stage: Stage,
    due: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To be probed for the first time.
    Asked,
    /// It was there, and is looked at once more.
    Doubted,
    /// It was not there.
    Missing { since: Instant },
    /// It was there; its copy was dropped.
    Watched,
    /// Only its hello or the end of its lease decides.
    Excused,
}

/// What a probe showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was routed.
    There,
    /// No queue takes it.
    Missing,
    /// Broker or connection were at fault.
    Unclear,
}

/// Whom to probe now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) holders: Vec<RunnerName>,
    /// Whether claims wait for the outcome.
    pub(crate) awaited: bool,
}

/// What one round has shown, of holders and of other runners.
#[derive(Debug, Clone)]
pub(crate) struct Findings {
    pub(crate) number: u64,
    pub(crate) found: Vec<(RunnerName, Found)>,
    /// Before the first probe and after the last answer.
    pub(crate) sent: Instant,
    pub(crate) heard: Instant,
}

impl Takeover {
    /// A copy of `holder`'s attempt is claimed by another runner. True: the claim waits until it is clear
    /// what has become of the holder; false: the copy is to be dropped. `is_seen`: the holder's control
    /// queue was seen since the last break.
    pub(crate) fn ask(
        &mut self,
        (holder, life): (&RunnerName, Incarnation),
        attempt: AttemptKey,
        is_seen: bool,
        now: Instant,
    ) -> bool {
        let fresh = || Inquiry { life, copies: BTreeSet::new(), stage: Stage::Asked, due: now };
        let inquiry = self.inquiries.entry(holder.clone()).or_insert_with(fresh);
        if inquiry.life != life {
            *inquiry = fresh();
        }
        inquiry.copies.insert(attempt);
        if !is_seen && inquiry.stage != Stage::Excused {
            inquiry.excuse(now);
        } else if inquiry.stage == Stage::Watched {
            inquiry.stage = Stage::Asked;
            inquiry.due = now;
        }
        inquiry.is_open()
    }

    /// Whether it is open what has become of the runner, so that claims wait.
    pub(crate) fn is_open(&self, holder: &RunnerName) -> bool {
        self.inquiries.get(holder).is_some_and(Inquiry::is_open)
    }

    /// When there is something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.begun {
            Some(begun) => Some(begun + ROUND_LIMIT),
            None => self.inquiries.values().map(|inquiry| inquiry.due).min(),
        }
    }

    /// Begins a round if one is due. Attempts that are over need no more probes.
    pub(crate) fn begin(&mut self, now: Instant, is_current: impl Fn(AttemptKey) -> bool) -> Option<Round> {
        if self.next().is_none_or(|next| now < next) {
            return None;
        }
        self.begun = None;
        self.missing.retain(|_, when| now.duration_since(*when) < REMEMBER);
        self.inquiries.retain(|_, inquiry| {
            inquiry.copies.retain(|attempt| is_current(*attempt));
            !inquiry.copies.is_empty()
        });
        let is_due = |inquiry: &Inquiry| inquiry.due <= if inquiry.is_open() { now } else { now + ROUND_UP };
        let due: Vec<_> = self.inquiries.iter().filter(|(_, inquiry)| is_due(inquiry)).collect();
        let awaited = due.iter().any(|(_, inquiry)| inquiry.is_open());
        let holders: Vec<_> = due.into_iter().map(|(holder, _)| holder.clone()).collect();
        if holders.is_empty() {
            return None;
        }
        self.number += 1;
        self.begun = Some(now);
        Some(Round { number: self.number, holders, awaited })
    }

    /// What follows from a round, after everything has been read that the broker had before its end.
    /// Returns the runners that are gone. `is_seen` as in [`Takeover::ask`].
    pub(crate) fn conclude(
        &mut self,
        findings: &Findings,
        is_seen: impl Fn(&RunnerName, Incarnation) -> bool,
    ) -> Vec<(RunnerName, Incarnation)> {
        if self.begun.is_none() || findings.number != self.number {
            return Vec::new();
        }
        self.begun = None;
        for (runner, found) in &findings.found {
            match found {
                Found::There => drop(self.missing.remove(runner)),
                Found::Missing => drop(self.missing.entry(runner.clone()).or_insert(findings.heard)),
                Found::Unclear => {}
            }
        }
        let mut gone = Vec::new();
        for (runner, found) in &findings.found {
            let alone = self.is_alone(runner);
            let Some(inquiry) = self.inquiries.get_mut(runner) else { continue };
            let life = inquiry.life;
            if inquiry.find(*found, findings, alone && is_seen(runner, life)) {
                self.inquiries.remove(runner);
                gone.push((runner.clone(), life));
            }
        }
        gone
    }

    /// Whether no other runner went missing when this one did.
    fn is_alone(&self, runner: &RunnerName) -> bool {
        let Some(since) = self.missing.get(runner) else { return true };
        let apart = |when: &Instant| when.max(since).duration_since(*when.min(since)) >= SAME_MOMENT;
        self.missing.iter().all(|(other, when)| other == runner || apart(when))
    }

    /// A beat of the runner was read. If it was missing, it is looked for anew: the beat may be its last
    /// words or its hello.
    pub(crate) fn heard(&mut self, runner: &RunnerName, life: Incarnation, now: Instant) {
        self.missing.remove(runner);
        let Some(inquiry) = self.inquiries.get_mut(runner) else { return };
        if inquiry.life != life {
            // What the former life left behind is void anyway.
            self.inquiries.remove(runner);
            return;
        }
        match inquiry.stage {
            Stage::Excused => inquiry.stage = Stage::Watched,
            Stage::Missing { .. } => {
                inquiry.stage = Stage::Asked;
                inquiry.due = now;
            }
            Stage::Asked | Stage::Doubted | Stage::Watched => {}
        }
    }

    /// Our own connection was broken: what was found before says nothing any more.
    pub(crate) fn broken(&mut self) {
        self.begun = None;
        self.missing.clear();
        self.inquiries.values_mut().for_each(|inquiry| inquiry.stage = Stage::Excused);
    }
}

impl Inquiry {
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Doubted | Stage::Missing { .. })
    }

    fn excuse(&mut self, now: Instant) {
        self.stage = Stage::Excused;
        self.due = now + WATCH_EVERY;
    }

    /// What a probe says about this runner. True: it is gone.
    fn find(&mut self, found: Found, findings: &Findings, may_be_gone: bool) -> bool {
        let now = findings.heard;
        self.due = now + WATCH_EVERY;
        match (found, self.stage) {
            (_, Stage::Excused) => {}
            (Found::There, Stage::Asked) => {
                self.stage = Stage::Doubted;
                self.due = now + LOOK_AGAIN;
            }
            (Found::There | Found::Unclear, _) => self.stage = Stage::Watched,
            (Found::Missing, _) if !may_be_gone => self.excuse(now),
            (Found::Missing, Stage::Missing { since }) => {
                if findings.sent.saturating_duration_since(since) >= GRACE {
                    return true;
                }
                self.due = since + GRACE;
            }
            (Found::Missing, Stage::Asked | Stage::Doubted | Stage::Watched) => {
                self.stage = Stage::Missing { since: now };
                self.due = now + GRACE;
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "takeover_tests.rs"]
mod tests;
