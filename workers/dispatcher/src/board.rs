//! All that the dispatcher keeps in memory about the present: runners, leases, logs, publications.
//!
//! Plain data, no clock and no I/O: each part says what follows from what it is told. Nothing here is
//! precious; the ledger and one round of beats bring it back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messages::{Claim, Envelope, Incarnation, JobId, PoolName, RunnerName};
use tokio::time::Instant;

use crate::Settings;
use crate::afloat::Afloat;
use crate::leases::{Lease, Leases};
use crate::logbook::{End, Logbook};
use crate::probes::{Parked, Report};
use crate::roster::Roster;
use crate::scheduler::{self, Capacity};
use crate::settled::{AttemptKey, Settled};
use crate::takeover::{Findings, Round, Takeover};

pub(crate) struct Board {
    /// Which runners live, by their beats.
    pub(crate) roster: Roster,
    /// Which runner has which job.
    pub(crate) leases: Leases,
    /// How far the logs have come.
    pub(crate) logbook: Logbook,
    /// What became of attempts that ended lately.
    pub(crate) settled: Settled,
    /// Jobs that lie in their pool's queue, or are on the way there, and are not claimed yet.
    pub(crate) afloat: Afloat,
    /// Which holders may be gone.
    pub(crate) takeover: Takeover,
    /// What the last probes have shown, until everything before has been read.
    pub(crate) report: Option<Report>,
    /// Claims that wait for the outcome.
    parked: Vec<Parked>,
    /// Counts the calls of [`Board::refresh`].
    breaks: u64,
    /// Every pool that was named by a setting, a job or a beat.
    pools: BTreeSet<PoolName>,
    /// There may be queued jobs that the publisher has not read.
    pub(crate) backlog_changed: bool,
    /// The broker takes messages again: whoever paused need not wait for the end of the pause.
    pub(crate) broker_is_back: bool,
    /// Queues that somebody made differently, and what the broker says to it.
    pub(crate) unusable: BTreeMap<String, String>,
    /// An own tick came back since the start or the last break: what gathered in the reply queue while
    /// nobody read it has been read.
    pub(crate) caught_up: bool,
    look_ahead: u32,
    last_tick: Option<u64>,
    /// In ticks.
    reconcile_every: u32,
    until_reconcile: u32,
}

/// Pipelines and runners name pools, and each pool costs the broker a queue: so many, and no more.
const MOST_POOLS: usize = 500;
/// So many claims may wait; one for each free slot is what honest runners ask.
const MOST_PARKED: usize = 4096;
/// Who was heard within this time, a beat and a bit, should be there when everybody is probed.
const HEARD_LATELY: Duration = Duration::from_secs(6);

/// What one tick of the own clock brought about.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Leases that ended, and whether their runner is heard all the same.
    pub(crate) ended: Vec<(JobId, Lease, bool)>,
    pub(crate) gone: Vec<RunnerName>,
    /// Logs that stay incomplete, and how far they came.
    pub(crate) given_up: Vec<(AttemptKey, End, u64)>,
    pub(crate) reconcile: bool,
}

impl Board {
    pub(crate) fn new(settings: &Settings) -> Self {
        let lease = settings.ticks(settings.lease);
        Self {
            roster: Roster::new(lease, settings.ticks(HEARD_LATELY)),
            leases: Leases::new(lease),
            logbook: Logbook::new(settings.ticks(crate::logbook::PATIENCE)),
            settled: Settled::default(),
            afloat: Afloat::default(),
            takeover: Takeover::default(),
            report: None,
            parked: Vec::new(),
            breaks: 0,
            pools: settings.pools.iter().cloned().collect(),
            backlog_changed: true,
            broker_is_back: false,
            unusable: BTreeMap::new(),
            caught_up: false,
            look_ahead: settings.look_ahead,
            last_tick: None,
            reconcile_every: settings.ticks(settings.reconcile_every),
            until_reconcile: settings.ticks(settings.reconcile_every),
        }
    }

    pub(crate) fn pools(&self) -> &BTreeSet<PoolName> {
        &self.pools
    }

    /// A setting, a job or a beat names a pool. Beyond [`MOST_POOLS`] its jobs wait in the ledger.
    pub(crate) fn add_pool(&mut self, pool: &PoolName) {
        if self.pools.contains(pool) {
            return;
        }
        if self.pools.len() < MOST_POOLS {
            self.pools.insert(pool.clone());
        } else {
            tracing::warn!(%pool, "there are too many pools; this one gets no queue");
        }
    }

    /// How many more jobs of `pool` may be published now.
    pub(crate) fn room(&self, pool: &PoolName) -> usize {
        let runners: Vec<_> = self
            .roster
            .taking(pool)
            .map(|(name, slots)| Capacity { slots, running: self.leases.count_of(name) })
            .collect();
        scheduler::window(&runners, self.look_ahead, self.afloat.count(pool))
    }

    /// How many ticks up to this number have been sent since the last one that came back.
    pub(crate) fn ticks_under_way(&self, number: u64) -> u64 {
        number.saturating_sub(self.last_tick.unwrap_or(0))
    }

    /// An own tick came back. `None`: it came before, and was given back by a broken connection.
    pub(crate) fn pass_tick(&mut self, number: u64) -> Option<Passed> {
        if self.last_tick.is_some_and(|last| number <= last) {
            return None;
        }
        self.last_tick = Some(number);
        let gone = self.roster.tick();
        let is_heard = |lease: &Lease| self.roster.is_heard(&lease.runner, lease.life);
        let ended = self.leases.tick().into_iter().map(|(job, lease)| {
            let heard = is_heard(&lease);
            (job, lease, heard)
        });
        let ended = ended.collect();
        let given_up = self.logbook.tick();
        self.afloat.tick();
        self.until_reconcile -= 1;
        let reconcile = self.until_reconcile == 0;
        if reconcile {
            self.until_reconcile = self.reconcile_every;
        }
        Some(Passed { ended, gone, given_up, reconcile })
    }

    /// Everybody gets a full period: while nothing could be heard, silence meant nothing.
    pub(crate) fn refresh(&mut self) {
        self.roster.refresh();
        self.leases.refresh();
        self.takeover.broken();
        self.report = None;
        self.caught_up = false;
        self.breaks += 1;
    }

    /// By this number a break is noticed that happened meanwhile.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks
    }

    /// Control messages could be routed to these runners when there had been so many `breaks`.
    pub(crate) fn see<'a>(&mut self, runners: impl IntoIterator<Item = &'a RunnerName>, breaks: u64) {
        if self.breaks == breaks {
            runners.into_iter().for_each(|runner| self.roster.see(runner));
        }
    }

    /// The ledger refused a claim because another runner has the job. True: it waits, because the copy came
    /// back and the holder may be dead. The holder's own new life need not: its beat voids the old one.
    pub(crate) fn park(&mut self, claim: &Claim, question: &Envelope, now: Instant) -> bool {
        let Some((attempt, holder, life)) = self.leases.holder_of(claim.job) else { return false };
        if !claim.redelivered || *holder == claim.runner || self.leases.is_exclusive(claim.job) {
            return false;
        }
        let (attempt, holder) = ((claim.job, attempt), holder.clone());
        let is_seen = self.roster.is_seen(&holder, life);
        if !self.takeover.ask((&holder, life), attempt, is_seen, now) {
            return false;
        }
        let asked = |parked: &Parked| parked.claim.job == claim.job && parked.claim.runner == claim.runner;
        // Asked again: nobody listens for the answer to the first question any more.
        self.parked.retain(|parked| !asked(parked));
        if self.parked.len() >= MOST_PARKED {
            return false;
        }
        self.parked.push(Parked { claim: claim.clone(), question: question.clone(), holder, attempt });
        true
    }

    /// Takes the claims that need not wait any longer.
    pub(crate) fn unpark(&mut self) -> Vec<Parked> {
        let waits = |parked: &Parked| {
            let holds = self
                .leases
                .holder_of(parked.attempt.0)
                .is_some_and(|(attempt, holder, _)| attempt == parked.attempt.1 && *holder == parked.holder);
            holds && self.takeover.is_open(&parked.holder)
        };
        let (wait, ready) = std::mem::take(&mut self.parked).into_iter().partition(waits);
        self.parked = wait;
        ready
    }

    /// [`Takeover::begin`] for the attempts of this board.
    pub(crate) fn begin_round(&mut self, now: Instant) -> Option<Round> {
        let leases = &self.leases;
        self.takeover.begin(now, |attempt| leases.is_current(attempt))
    }

    /// [`Takeover::conclude`] for the runners of this board.
    pub(crate) fn conclude(&mut self, findings: &Findings) -> Vec<(RunnerName, Incarnation)> {
        let roster = &self.roster;
        self.takeover.conclude(findings, |runner, life| roster.is_seen(runner, life))
    }

    /// A runner is gone. Returns what it had.
    pub(crate) fn let_go(&mut self, runner: &RunnerName, life: Incarnation) -> Vec<AttemptKey> {
        self.roster.leave(runner);
        self.leases.of(runner, life)
    }
}
