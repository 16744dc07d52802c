//! Which runners live, told by their beats. Pure; time is counted in the dispatcher's own ticks.
//!
//! Lives of one name are told apart and ordered: by the count that each carries ([`Birth`]), and where
//! that says nothing (a name that moved to another folder) by who was heard later.
//!
//! Must not know what a runner's attempts mean for jobs: that is `leases` and `beats`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use messages::{Beat, Birth, Incarnation, JobId, PoolName, RunnerName};
use store::{RunnerState, RunnerView};

/// How many former lives of one runner are told apart from a new one.
const FORMER_LIVES: usize = 8;
/// A runner that was silent for so many periods is forgotten altogether.
const FORGET_AFTER: u32 = 40;
/// Ticks between two notes of the same runner in the ledger. Runners beat after each result, and not
/// every beat is worth a write.
const NOTE_EVERY: u32 = 3;

pub(crate) struct Roster {
    runners: BTreeMap<RunnerName, Known>,
    /// Ticks of silence after which a runner counts as gone.
    patience: u32,
    /// Ticks of silence up to which it was heard lately.
    lately: u32,
}

struct Known {
    life: Life,
    former: VecDeque<Incarnation>,
    pool: PoolName,
    slots: u32,
    draining: bool,
    /// Its machine may have no jobs for now.
    trouble: Option<String>,
    held: BTreeSet<JobId>,
    silent: u32,
    /// Whether its control queue was there since the last break of the dispatcher's own connection.
    seen: bool,
    /// Ticks since the last note in the ledger; `None`: never, or something has changed.
    noted: Option<u32>,
}

impl Known {
    fn takes_jobs(&self) -> bool {
        !self.draining && self.trouble.is_none()
    }
}

/// The newest life that was heard.
struct Life {
    incarnation: Incarnation,
    /// `None`: noted in the ledger by a version that did not know.
    birth: Option<Birth>,
    /// The number of its last beat. `None`: known from the ledger only; its first beat will tell.
    heard: Option<u64>,
}

/// What a beat is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The newest of its life.
    Now,
    /// The first of a new life: what former lives held and this one does not list is void.
    NewLife,
    /// Older than one that was read already, or a repeat of it: it says nothing any more.
    Late,
    /// From a life that a newer one has followed.
    Former,
}

impl Roster {
    pub(crate) fn new(patience: u32, lately: u32) -> Self {
        Self { runners: BTreeMap::new(), patience, lately: lately.min(patience.saturating_sub(1)) }
    }

    /// Takes over what the ledger remembers, so that a restart of the dispatcher does not idle runners
    /// until their next beat, and does not take the last words of a dead life for the first of a new one.
    pub(crate) fn remember(&mut self, runner: &RunnerView) {
        let known = Known {
            life: Life { incarnation: runner.incarnation, birth: runner.birth, heard: None },
            former: VecDeque::new(),
            pool: runner.pool.clone(),
            slots: runner.slots,
            draining: runner.state == RunnerState::Draining,
            trouble: runner.trouble.clone(),
            held: BTreeSet::new(),
            silent: if runner.state == RunnerState::Gone { self.patience } else { 0 },
            seen: false,
            noted: None,
        };
        self.runners.insert(runner.name.clone(), known);
    }

    /// Notes a beat.
    pub(crate) fn hear(&mut self, beat: &Beat) -> Heard {
        let patience = self.patience;
        let life = Life { incarnation: beat.incarnation, birth: Some(beat.birth), heard: Some(beat.sequence) };
        let Some(known) = self.runners.get_mut(&beat.runner) else {
            self.runners.insert(beat.runner.clone(), Known::begin(beat, life));
            return Heard::NewLife;
        };
        let heard = known.judge(beat, patience);
        if matches!(heard, Heard::Late | Heard::Former) {
            return heard;
        }
        if known.life.incarnation != beat.incarnation {
            let before = std::mem::replace(&mut known.life, life);
            known.former.retain(|former| *former != beat.incarnation);
            known.former.push_back(before.incarnation);
            if known.former.len() > FORMER_LIVES {
                known.former.pop_front();
            }
        } else {
            known.life = life;
        }
        known.seen &= heard == Heard::Now;
        let as_before = known.pool == beat.pool
            && known.slots == beat.slots
            && known.draining == beat.draining
            && known.trouble == beat.trouble;
        // A runner that was gone is shown as living again without delay.
        if heard == Heard::NewLife || !as_before || known.silent >= patience {
            known.noted = None;
        }
        known.pool = beat.pool.clone();
        known.slots = beat.slots;
        known.draining = beat.draining;
        known.trouble.clone_from(&beat.trouble);
        known.held = beat.held.iter().map(|held| held.job).collect();
        known.silent = 0;
        heard
    }

    /// Whether the ledger should hear of this runner's beat; asked once for each.
    pub(crate) fn is_to_be_noted(&mut self, runner: &RunnerName) -> bool {
        let Some(known) = self.runners.get_mut(runner) else { return false };
        let due = known.noted.is_none_or(|ticks| ticks >= NOTE_EVERY);
        if due {
            known.noted = Some(0);
        }
        due
    }

    /// Whether a newer life of `runner` has been heard than this one.
    pub(crate) fn is_former(&self, runner: &RunnerName, life: Incarnation, birth: Birth) -> bool {
        self.runners.get(runner).is_some_and(|known| known.is_former(life, birth, self.patience))
    }

    /// Where to reach the runner: its life and the number of its last beat.
    pub(crate) fn address(&self, runner: &RunnerName) -> Option<(Incarnation, u64)> {
        let life = &self.runners.get(runner)?.life;
        Some((life.incarnation, life.heard?))
    }

    /// Whether the runner was heard within the period, in this life and by this dispatcher.
    pub(crate) fn is_heard(&self, runner: &RunnerName, life: Incarnation) -> bool {
        let here = |known: &Known| known.silent < self.patience && known.life.is_heard_as(life);
        self.runners.get(runner).is_some_and(here)
    }

    /// A control message was routed to the runner.
    pub(crate) fn see(&mut self, runner: &RunnerName) {
        if let Some(known) = self.runners.get_mut(runner) {
            known.seen = true;
        }
    }

    /// Whether the control queue of this life was there since the last break.
    pub(crate) fn is_seen(&self, runner: &RunnerName, life: Incarnation) -> bool {
        let here = |known: &Known| known.seen && known.life.is_heard_as(life);
        self.runners.get(runner).is_some_and(here)
    }

    /// The runners whose control queues should be there: heard lately, seen since the last break, and not
    /// about to leave.
    pub(crate) fn witnesses(&self) -> Vec<RunnerName> {
        let should_be = |known: &Known| known.seen && !known.draining && known.silent <= self.lately;
        self.runners.iter().filter(|(_, known)| should_be(known)).map(|(name, _)| name.clone()).collect()
    }

    /// The runner is gone, until it is heard again.
    pub(crate) fn leave(&mut self, runner: &RunnerName) {
        if let Some(known) = self.runners.get_mut(runner) {
            known.silent = known.silent.max(self.patience);
            known.held.clear();
            known.seen = false;
        }
    }

    /// Names and slots of the runners of `pool` that are heard and take jobs.
    pub(crate) fn taking<'a>(&'a self, pool: &'a PoolName) -> impl Iterator<Item = (&'a RunnerName, u32)> {
        let takes = move |known: &Known| known.pool == *pool && known.takes_jobs() && known.silent < self.patience;
        self.runners.iter().filter(move |(_, known)| takes(known)).map(|(name, known)| (name, known.slots))
    }

    /// Whether a beat listed the job as held and not started.
    pub(crate) fn holds(&self, job: JobId) -> bool {
        self.runners.values().any(|known| known.silent < self.patience && known.held.contains(&job))
    }

    /// One own tick passed. Returns the runners that it made gone.
    pub(crate) fn tick(&mut self) -> Vec<RunnerName> {
        let mut gone = Vec::new();
        for (name, known) in &mut self.runners {
            known.silent = known.silent.saturating_add(1);
            known.noted = known.noted.map(|ticks| ticks.saturating_add(1));
            if known.silent == self.patience {
                gone.push(name.clone());
            }
        }
        let forget = self.patience.saturating_mul(FORGET_AFTER);
        self.runners.retain(|_, known| known.silent < forget);
        gone
    }

    /// Silence so far meant nothing.
    pub(crate) fn refresh(&mut self) {
        let patience = self.patience;
        self.runners.values_mut().filter(|known| known.silent < patience).for_each(|known| known.silent = 0);
        self.runners.values_mut().for_each(|known| known.seen = false);
    }
}

impl Life {
    fn is_heard_as(&self, life: Incarnation) -> bool {
        self.heard.is_some() && self.incarnation == life
    }
}

impl Known {
    fn begin(beat: &Beat, life: Life) -> Self {
        Self {
            life,
            former: VecDeque::new(),
            pool: beat.pool.clone(),
            slots: beat.slots,
            draining: beat.draining,
            trouble: beat.trouble.clone(),
            held: beat.held.iter().map(|held| held.job).collect(),
            silent: 0,
            seen: false,
            noted: None,
        }
    }

    fn judge(&self, beat: &Beat, patience: u32) -> Heard {
        if self.is_former(beat.incarnation, beat.birth, patience) {
            return Heard::Former;
        }
        match self.life.heard {
            Some(sequence) if self.life.incarnation == beat.incarnation => {
                if beat.sequence > sequence {
                    Heard::Now
                } else {
                    Heard::Late
                }
            }
            // After a restart of the dispatcher each first beat may be that of a new life.
            _ => Heard::NewLife,
        }
    }

    /// By the order of the folder for certain. By the order in which lives were heard only as long as the
    /// newer one is heard: two runners may have been given one name, and one of them may be dead.
    fn is_former(&self, life: Incarnation, birth: Birth, patience: u32) -> bool {
        let is_older = self.life.birth.is_some_and(|now| birth.is_before(now));
        is_older || (self.former.contains(&life) && self.silent < patience)
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
