//! How long an exclusive attempt may run on without a word from the dispatcher.
//!
//! Counted from the moment at which a beat (or the claim) was *sent* that was answered later: the dispatcher
//! cannot have read it earlier, so its lease ends later than what is counted here (`messages::LEASE`).
//! Carried out by the supervisor, which goes on when the runner is frozen, and by a clock that goes on while
//! the machine sleeps. Must not know: the broker, what an attempt does.

use std::collections::VecDeque;
use std::time::Duration;

use messages::{AttemptNumber, BeatAnswer, JobId, LEASH, Order};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// A moment by two clocks: the one that tasks wait by, and the one that does not stand still while the
/// machine sleeps and that every process of the machine shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    instant: Instant,
    since_boot: Duration,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self { instant: Instant::now(), since_boot: since_boot() }
    }

    /// The moment this much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { instant: self.instant + time, since_boot: self.since_boot + time }
    }

    /// By the clock of tasks.
    pub fn instant(self) -> Instant {
        self.instant
    }

    /// By the clock of the machine.
    pub(crate) fn since_boot(self) -> Duration {
        self.since_boot
    }

    /// Whether it lies behind us, by either clock.
    pub(crate) fn has_passed(self) -> bool {
        self.instant <= Instant::now() || self.since_boot <= since_boot()
    }
}

/// The time since the machine was started, its sleep included.
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Neither part of a time since boot is ever negative.
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// When the last beats were sent, and which attempts each listed as running.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    beats: VecDeque<SentBeat>,
}

#[derive(Debug)]
struct SentBeat {
    sequence: u64,
    sent: Moment,
    running: Vec<(JobId, AttemptNumber)>,
}

impl Sent {
    /// A beat is about to be sent. What is older than any leash proves nothing any more.
    pub(crate) fn note(&mut self, sequence: u64, sent: Moment, running: Vec<(JobId, AttemptNumber)>) {
        let stale = |before: &SentBeat| before.sent.after(LEASH).instant <= sent.instant;
        while self.beats.front().is_some_and(stale) {
            self.beats.pop_front();
        }
        self.beats.push_back(SentBeat { sequence, sent, running });
    }

    /// Until when the attempts may run that this answer confirms: those that its beat listed and that it
    /// does not call void. An order that was sent on its own proves no more than the beat whose number it has.
    pub(crate) fn confirmed(&self, answer: &BeatAnswer) -> Vec<(JobId, Moment)> {
        let Some(beat) = self.beats.iter().find(|beat| beat.sequence == answer.sequence) else { return Vec::new() };
        let confirms = |order: &&messages::AttemptOrder| {
            matches!(order.order, Order::Continue | Order::Cancel) && beat.running.contains(&(order.job, order.attempt))
        };
        answer.orders.iter().filter(confirms).map(|order| (order.job, beat.sent.after(LEASH))).collect()
    }
}

#[cfg(test)]
#[path = "leash_tests.rs"]
mod tests;
