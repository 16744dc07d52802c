//! What is published next: the window and the fair order. Pure.
//!
//! The backlog waits in the ledger and not in the broker, so that order, fairness and cancelling before
//! the start work alike on every broker. Must not know: the ledger, the broker, time.

use std::collections::{HashMap, VecDeque};

use messages::RepositoryName;
use store::Unpublished;

/// What may lie in a pool's queue while no runner of the pool is known.
///
/// Not none: a runner that has just started then finds a job before its first beat is read, and so does
/// one whose pool is served for the first time. Not many: whatever lies there has lost its place in the
/// order, and another pool's runner cannot take it.
const WITHOUT_RUNNERS: usize = 2;

/// The most slots that are believed of one runner, so that a wrong number cannot empty the ledger into a queue.
const MOST_SLOTS: u32 = 1024;

/// One runner that takes jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    pub(crate) slots: u32,
    pub(crate) running: usize,
}

/// How many more jobs may be published into a pool's queue where `afloat` lie unclaimed: as many as the
/// free slots and the look-ahead can take.
pub(crate) fn window(runners: &[Capacity], look_ahead: u32, afloat: usize) -> usize {
    if runners.is_empty() {
        return WITHOUT_RUNNERS.saturating_sub(afloat);
    }
    let wanted = runners.iter().fold(0_usize, |sum, runner| {
        let slots = runner.slots.min(MOST_SLOTS) as usize;
        let ahead = slots.saturating_mul(look_ahead as usize);
        sum.saturating_add(slots.saturating_sub(runner.running)).saturating_add(ahead)
    });
    wanted.saturating_sub(afloat)
}

/// The queued jobs of one pool that were read from the ledger, and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// By repository; the one with the oldest job first.
    waiting: Vec<(RepositoryName, VecDeque<Unpublished>)>,
    /// The number of each repository's last turn. Outlives an empty backlog, or one that always has
    /// exactly one new commit would always be next.
    turns: HashMap<RepositoryName, u64>,
    turn: u64,
}

/// So many repositories' turns are remembered beyond their backlog.
const MOST_TURNS: usize = 1000;

impl Backlog {
    /// Replaces what is known by `queued`, which stands in scheduling order.
    pub(crate) fn refill(&mut self, queued: Vec<Unpublished>) {
        self.waiting.clear();
        let mut places = HashMap::new();
        for candidate in queued {
            let repository = candidate.job.repository.name.clone();
            let place = *places.entry(repository.clone()).or_insert_with(|| {
                self.waiting.push((repository, VecDeque::new()));
                self.waiting.len() - 1
            });
            self.waiting[place].1.push_back(candidate);
        }
        if self.turns.len() > MOST_TURNS {
            self.turns.retain(|repository, _| places.contains_key(repository));
        }
    }

    /// What was read is out of date; whose turn it is stays known.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next job: round robin among the repositories, in the ledger's order inside one.
    pub(crate) fn next(&mut self) -> Option<Unpublished> {
        let last_turn = |(repository, _): &(RepositoryName, _)| self.turns.get(repository).copied().unwrap_or(0);
        let place = (0..self.waiting.len()).min_by_key(|place| last_turn(&self.waiting[*place]))?;
        let (repository, jobs) = &mut self.waiting[place];
        let next = jobs.pop_front();
        self.turn += 1;
        self.turns.insert(repository.clone(), self.turn);
        if jobs.is_empty() {
            self.waiting.remove(place);
        }
        next
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
