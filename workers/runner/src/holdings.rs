//! What this runner has, and what a delivery, an interruption or an answer does to it.
//!
//! Pure, so that every order of events can be tried in a test: no clock, no broker, no disk. Generic
//! over the delivery for the same reason. One holding per job: a second copy of a job that is here
//! already is parked beside it until ours is over and recorded, and goes back to the queue then, where
//! a claim decides. To claim it before would be wrong, since the same runner asking again gets the same
//! attempt; to ack it would be wrong too, since it may be the next attempt's message.

use std::collections::BTreeMap;

use messages::{
    AttemptNumber, BeatAnswer, CancelAttempt, FinishedAttempt, HeldJob, Incarnation, JobId, Order, RunningAttempt,
};

use crate::hands::Ticket;

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// In hand, waiting for a slot.
    Held,
    /// The question was asked at least once: the dispatcher may have given it to us already.
    Claiming,
    Running(Ticket),
    /// Over and not answered `recorded`. The number is the last beat before the result was confirmed.
    Finished(Ticket, Option<u64>),
}

#[derive(Debug)]
struct Holding<D> {
    phase: Phase,
    redelivered: bool,
    /// The delivery that brought the job, until it is settled or void.
    delivery: Option<D>,
    /// Further copies of the same job.
    copies: Vec<D>,
}

/// Everything this runner has.
#[derive(Debug)]
pub(crate) struct Holdings<D> {
    incarnation: Incarnation,
    jobs: BTreeMap<JobId, Holding<D>>,
    /// The last beat that was sent.
    sequence: u64,
    /// The last beat that was answered.
    answered: u64,
}

/// What an answer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Stop it and report it as cancelled.
    Cancel(JobId),
    /// Stop it and forget it.
    Void(JobId),
    /// Forget it: it is in the ledger.
    Recorded(JobId),
    /// Send the result again.
    ResendResult(JobId),
    /// Send the log again from this byte on.
    ResendLog(JobId, u64),
    /// Take no new jobs.
    Drain,
}

/// The lists of one beat.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lists {
    pub(crate) sequence: u64,
    pub(crate) held: Vec<HeldJob>,
    pub(crate) running: Vec<RunningAttempt>,
    pub(crate) finished: Vec<FinishedAttempt>,
}

impl<D> Holdings<D> {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, jobs: BTreeMap::new(), sequence: 0, answered: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether something still waits, runs or is being asked for (and not merely waits to be recorded).
    pub(crate) fn is_working(&self) -> bool {
        self.jobs.values().any(|holding| !matches!(holding.phase, Phase::Finished(..)))
    }

    /// A result that a former life left in the spool.
    pub(crate) fn inherit(&mut self, job: JobId, ticket: Ticket) {
        let phase = Phase::Finished(ticket, None);
        self.jobs.insert(job, Holding { phase, redelivered: false, delivery: None, copies: Vec::new() });
    }

    /// A delivery of `job` came in. True: it is new here, take it on.
    pub(crate) fn delivered(&mut self, job: JobId, redelivered: bool, delivery: D) -> bool {
        match self.jobs.get_mut(&job) {
            // Its own copy again, after an interruption: the lease that is under way takes it over.
            Some(holding) if holding.phase == Phase::Claiming && holding.delivery.is_none() => {
                holding.delivery = Some(delivery);
                false
            }
            Some(holding) => {
                holding.copies.push(delivery);
                false
            }
            None => {
                let phase = Phase::Held;
                self.jobs.insert(job, Holding { phase, redelivered, delivery: Some(delivery), copies: Vec::new() });
                true
            }
        }
    }

    /// There is a slot for it: it will be asked for. `None` if it is not held any more.
    pub(crate) fn claiming(&mut self, job: JobId) -> Option<bool> {
        let holding = self.jobs.get_mut(&job).filter(|holding| holding.phase == Phase::Held)?;
        holding.phase = Phase::Claiming;
        Some(holding.redelivered)
    }

    /// The claim was answered with an attempt.
    pub(crate) fn started(&mut self, job: JobId, ticket: Ticket) {
        if let Some(holding) = self.jobs.get_mut(&job) {
            holding.phase = Phase::Running(ticket);
        }
    }

    /// Its processes are gone and its result is in the spool.
    pub(crate) fn finished(&mut self, job: JobId) {
        if let Some(holding) = self.jobs.get_mut(&job)
            && let Phase::Running(ticket) = &holding.phase
        {
            holding.phase = Phase::Finished(ticket.clone(), None);
        }
    }

    /// The broker has its report.
    pub(crate) fn reported(&mut self, job: JobId) {
        if let Some(Phase::Finished(_, reported)) = self.jobs.get_mut(&job).map(|holding| &mut holding.phase) {
            *reported = Some(self.sequence);
        }
    }

    /// Gives the delivery that brought the job, to be acked.
    pub(crate) fn take_delivery(&mut self, job: JobId) -> Option<D> {
        self.jobs.get_mut(&job)?.delivery.take()
    }

    /// Whether its processes are gone and only the dispatcher's word is awaited.
    pub(crate) fn is_finished(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|holding| matches!(holding.phase, Phase::Finished(..)))
    }

    /// Forgets a job. Gives its delivery and the other copies.
    pub(crate) fn forget(&mut self, job: JobId) -> (Option<D>, Vec<D>) {
        self.jobs.remove(&job).map_or((None, Vec::new()), |holding| (holding.delivery, holding.copies))
    }

    /// Everything that was delivered is void. What was not asked for yet is forgotten: another runner
    /// may have it by now. What was asked for is asked for again, since the answer may have been yes.
    pub(crate) fn interrupted(&mut self) -> Vec<D> {
        let mut void = Vec::new();
        for holding in self.jobs.values_mut() {
            void.extend(holding.delivery.take());
            void.append(&mut holding.copies);
        }
        self.jobs.retain(|_, holding| holding.phase != Phase::Held);
        void
    }

    /// Gives up what was not asked for yet, to drain.
    pub(crate) fn release_held(&mut self) -> Vec<D> {
        let held: Vec<JobId> = self.jobs.iter().filter(|(_, h)| h.phase == Phase::Held).map(|(job, _)| *job).collect();
        let mut released = Vec::new();
        for job in held {
            let (delivery, copies) = self.forget(job);
            released.extend(delivery);
            released.extend(copies);
        }
        released
    }

    /// The complete lists of the next beat.
    pub(crate) fn lists(&mut self, log_sent: impl Fn(JobId) -> u64) -> Lists {
        self.sequence += 1;
        let mut lists = Lists { sequence: self.sequence, held: Vec::new(), running: Vec::new(), finished: Vec::new() };
        for (&job, holding) in &self.jobs {
            match &holding.phase {
                Phase::Held | Phase::Claiming => lists.held.push(HeldJob { job }),
                Phase::Running(Ticket { attempt, token }) => {
                    let log_sent = log_sent(job);
                    lists.running.push(RunningAttempt { job, attempt: *attempt, token: token.clone(), log_sent });
                }
                Phase::Finished(Ticket { attempt, token }, _) => {
                    let log_sent = log_sent(job);
                    lists.finished.push(FinishedAttempt { job, attempt: *attempt, token: token.clone(), log_sent });
                }
            }
        }
        lists
    }

    /// What an answer asks for. Answers to another life, and to an older beat than the last answered
    /// one, ask for nothing. Several may answer one beat: orders that could not wait for the next. An
    /// attempt that an answer does not name goes on, since it may have begun after the beat was sent.
    pub(crate) fn answered(&mut self, answer: &BeatAnswer) -> Vec<Command> {
        if answer.incarnation != self.incarnation || answer.sequence < self.answered || answer.sequence > self.sequence
        {
            return Vec::new();
        }
        self.answered = answer.sequence;
        let mut commands = Vec::new();
        for order in &answer.orders {
            let Some(phase) = self.phase_of(order.job, order.attempt) else { continue };
            match (order.order, phase) {
                (Order::Void, _) => commands.push(Command::Void(order.job)),
                // The log first: what is recorded and complete is forgotten with its log.
                (Order::Recorded, Phase::Finished(..)) if order.log_from.is_none() => {
                    commands.push(Command::Recorded(order.job));
                }
                (Order::Cancel, Phase::Running(_)) => commands.push(Command::Cancel(order.job)),
                (Order::Continue | Order::Cancel, Phase::Finished(_, Some(reported)))
                    if *reported < answer.sequence =>
                {
                    commands.push(Command::ResendResult(order.job));
                }
                _ => {}
            }
            if let Some(from) = order.log_from
                && order.order != Order::Void
            {
                commands.push(Command::ResendLog(order.job, from));
            }
        }
        if answer.drain {
            commands.push(Command::Drain);
        }
        commands
    }

    /// What the edge of a cancel asks for.
    pub(crate) fn cancelled(&self, cancel: &CancelAttempt) -> Option<Command> {
        match self.phase_of(cancel.job, cancel.attempt)? {
            Phase::Running(_) => Some(Command::Cancel(cancel.job)),
            _ => None,
        }
    }

    fn phase_of(&self, job: JobId, attempt: AttemptNumber) -> Option<&Phase> {
        let phase = &self.jobs.get(&job)?.phase;
        let ours = match phase {
            Phase::Held | Phase::Claiming => return None,
            Phase::Running(ticket) | Phase::Finished(ticket, _) => ticket.attempt,
        };
        (ours == attempt).then_some(phase)
    }
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
