//! Which runner has which job, and for how long yet. Pure.
//!
//! A lease is counted in the dispatcher's own ticks, which come back through the same queue as the
//! beats: time passes only while everything before it has been read. A dispatcher that was frozen or
//! cut off can therefore never blame a runner for its own silence.

use std::collections::{BTreeMap, HashMap};

use messages::{AttemptNumber, AttemptToken, Incarnation, JobId, RunnerName};
use store::{LossCause, Running};

use crate::settled::AttemptKey;

pub(crate) struct Leases {
    held: BTreeMap<JobId, Lease>,
    /// How many each runner has; kept beside `held`, for it is asked at every publication.
    counts: HashMap<RunnerName, usize>,
    full: u32,
}

/// One attempt in a runner's hands.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) attempt: AttemptNumber,
    pub(crate) token: AttemptToken,
    pub(crate) runner: RunnerName,
    /// The life that listed it last.
    pub(crate) life: Incarnation,
    pub(crate) cancelling: bool,
    /// It asked when everything had been read that gathered before, or its life was heard, or has listed the
    /// attempt since: it began. Otherwise the question may have been the last words of a dead one.
    pub(crate) has_begun: bool,
    /// Only the end of the lease, or the holder's own word, makes room for another attempt.
    pub(crate) exclusive: bool,
    remaining: u32,
}

/// Under what terms an attempt is granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) is_known: bool,
    pub(crate) exclusive: bool,
}

/// What a runner shows to prove that an attempt is its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'a> {
    pub(crate) runner: &'a RunnerName,
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) token: &'a AttemptToken,
}

impl Lease {
    /// What its loss counts as, if the runner is not heard any more.
    pub(crate) fn blame(&self) -> LossCause {
        if self.has_begun { LossCause::RunnerLost } else { LossCause::Infrastructure }
    }
}

impl Leases {
    /// `full` is the length of a lease in ticks.
    pub(crate) fn new(full: u32) -> Self {
        Self { held: BTreeMap::new(), counts: HashMap::new(), full }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn has(&self, job: JobId) -> bool {
        self.held.contains_key(&job)
    }

    /// How many attempts a runner has.
    pub(crate) fn count_of(&self, runner: &RunnerName) -> usize {
        self.counts.get(runner).copied().unwrap_or(0)
    }

    /// An attempt that the ledger knows as running.
    pub(crate) fn resume(&mut self, running: Running) {
        let Running { job, attempt, token, runner, incarnation, cancelling, exclusive, pool: _ } = running;
        self.insert(
            job,
            Lease {
                attempt,
                token,
                runner,
                life: incarnation,
                cancelling,
                has_begun: true,
                exclusive,
                remaining: self.full,
            },
        );
    }

    /// A claim was answered with run; for a repeated claim the lease begins anew. `is_known`: the life that
    /// asked is heard by this dispatcher.
    pub(crate) fn grant(&mut self, proof: Proof<'_>, life: Incarnation, Terms { is_known, exclusive }: Terms) {
        let before = self.find(proof);
        let cancelling = before.is_some_and(|lease| lease.cancelling);
        let has_begun = is_known || before.is_some_and(|lease| lease.has_begun);
        let lease = Lease {
            attempt: proof.attempt,
            token: proof.token.clone(),
            runner: proof.runner.clone(),
            life,
            cancelling,
            has_begun,
            exclusive,
            remaining: self.full,
        };
        self.insert(proof.job, lease);
    }

    fn insert(&mut self, job: JobId, lease: Lease) {
        self.remove(job);
        *self.counts.entry(lease.runner.clone()).or_default() += 1;
        self.held.insert(job, lease);
    }

    fn remove(&mut self, job: JobId) -> Option<Lease> {
        let lease = self.held.remove(&job)?;
        if let Some(count) = self.counts.get_mut(&lease.runner) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&lease.runner);
            }
        }
        Some(lease)
    }

    /// The lease that this proof belongs to, if it is the current one.
    pub(crate) fn find(&self, proof: Proof<'_>) -> Option<&Lease> {
        let fits = |lease: &&Lease| {
            lease.attempt == proof.attempt && lease.token == *proof.token && lease.runner == *proof.runner
        };
        self.held.get(&proof.job).filter(fits)
    }

    /// Who has the current attempt of the job, if this is its number and token.
    pub(crate) fn holder(&self, job: JobId, attempt: AttemptNumber, token: &AttemptToken) -> Option<&RunnerName> {
        let fits = |lease: &&Lease| lease.attempt == attempt && lease.token == *token;
        self.held.get(&job).filter(fits).map(|lease| &lease.runner)
    }

    /// Whether the job's current attempt must end before another one begins.
    pub(crate) fn is_exclusive(&self, job: JobId) -> bool {
        self.held.get(&job).is_some_and(|lease| lease.exclusive)
    }

    /// Which attempt of the job is current, and who has it in which life.
    pub(crate) fn holder_of(&self, job: JobId) -> Option<(AttemptNumber, &RunnerName, Incarnation)> {
        self.held.get(&job).map(|lease| (lease.attempt, &lease.runner, lease.life))
    }

    /// What one life of a runner has, and may be given to others as soon as it is gone.
    pub(crate) fn of(&self, runner: &RunnerName, life: Incarnation) -> Vec<AttemptKey> {
        let its = |lease: &Lease| lease.runner == *runner && lease.life == life && !lease.exclusive;
        self.held.iter().filter(|(_, lease)| its(lease)).map(|(job, lease)| (*job, lease.attempt)).collect()
    }

    /// Whether the job's current attempt has this number.
    pub(crate) fn is_current(&self, (job, attempt): AttemptKey) -> bool {
        self.held.get(&job).is_some_and(|lease| lease.attempt == attempt)
    }

    /// A beat of the life `life` lists the attempt: a full period from here on. `None`: not its own.
    pub(crate) fn renew(&mut self, proof: Proof<'_>, life: Incarnation) -> Option<&Lease> {
        self.find(proof)?;
        let full = self.full;
        let lease = self.held.get_mut(&proof.job)?;
        lease.remaining = full;
        lease.life = life;
        lease.has_begun = true;
        Some(lease)
    }

    /// The runner holds the job's delivery and has not started it; it will ask again.
    pub(crate) fn renew_held(&mut self, job: JobId, runner: &RunnerName, life: Incarnation) {
        let full = self.full;
        if let Some(lease) = self.held.get_mut(&job).filter(|lease| lease.runner == *runner && lease.life == life) {
            lease.remaining = full;
        }
    }

    /// The attempt is over, in whatever way.
    pub(crate) fn end(&mut self, job: JobId, attempt: AttemptNumber) -> Option<Lease> {
        self.held.get(&job).filter(|lease| lease.attempt == attempt)?;
        self.remove(job)
    }

    /// What former lives of a runner hold after its life `now` listed everything that it has, exclusive attempts
    /// left out: the former life may be on another machine, and run on.
    pub(crate) fn left_behind(&self, runner: &RunnerName, now: Incarnation) -> Vec<(AttemptKey, LossCause)> {
        let left = |lease: &Lease| lease.runner == *runner && lease.life != now && !lease.exclusive;
        self.held
            .iter()
            .filter(|(_, lease)| left(lease))
            .map(|(job, lease)| ((*job, lease.attempt), lease.blame()))
            .collect()
    }

    /// One own tick passed. Returns, and forgets, the leases that it ended.
    pub(crate) fn tick(&mut self) -> Vec<(JobId, Lease)> {
        self.held.values_mut().for_each(|lease| lease.remaining = lease.remaining.saturating_sub(1));
        let ended: Vec<JobId> =
            self.held.iter().filter(|(_, lease)| lease.remaining == 0).map(|(job, _)| *job).collect();
        ended.into_iter().filter_map(|job| self.remove(job).map(|lease| (job, lease))).collect()
    }

    /// A full period for everyone.
    pub(crate) fn refresh(&mut self) {
        let full = self.full;
        self.held.values_mut().for_each(|lease| lease.remaining = full);
    }

    /// Notes which attempts the ledger wants cancelled. Returns those it did not want before, and whether
    /// the ledger runs cancelled attempts that are not known here (yet).
    pub(crate) fn mark_cancelling(&mut self, running: &[Running]) -> (Vec<(JobId, Lease)>, bool) {
        let mut fresh = Vec::new();
        let mut unknown = false;
        for wanted in running.iter().filter(|running| running.cancelling) {
            match self.held.get_mut(&wanted.job).filter(|lease| lease.attempt == wanted.attempt) {
                Some(lease) if !lease.cancelling => {
                    lease.cancelling = true;
                    fresh.push((wanted.job, lease.clone()));
                }
                Some(_) => {}
                None => unknown = true,
            }
        }
        (fresh, unknown)
    }
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
