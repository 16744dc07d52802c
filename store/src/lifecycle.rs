//! The life of a job as one pure function.
//!
//! ```text
//!             NeedsMet            Started{n}                  Finished{n, verdict}
//!  waiting ─────────────► queued ────────────► running{n} ──────────────────────────► done(verdict)
//!     │                   │  ▲                 │  │    │   CapReached{n}                   ▲
//!     │                   │  └─────────────────┘  │    └────────────────► done(errored)    │
//!     │                   │   Lost{n}             │ CancelAsked                            │
//!     │                   │   HandedBack{n}       ▼                                        │
//!     │                   │   RetryAfterError{n}  running{n, cancelling} ──────────────────┤
//!     │                   │   TryAgain{n, verdict}                                         │
//!     │                   │                          Finished{n, verdict}: that verdict    │
//!     │                   │                          every other end: done(cancelled)      │
//!     │                   └─── CancelAsked: done(cancelled) ───────────────────────────────┤
//!     └─── CancelAsked: done(cancelled); NeedsFailed, Filtered: done(skipped) ─────────────┘
//! ```
//!
//! `n` must be the number of the running attempt: that is what makes the late answer of a runner that
//! was thought dead harmless. `TryAgain` is a verdict that the pipeline does not take for the last word;
//! once a cancel was asked for, it is the last word. Nothing leaves `done`; a retry makes a new job.
//!
//! A job behind a need that did not end well becomes `skipped` and not `cancelled`: nobody asked for
//! its end, and the build already has the grave verdict that it needs. One that a condition of its
//! pipeline leaves out is `skipped` at birth, and whoever needs it goes on. Used by every write of the
//! ledger, by its tests and for the drawing in the documentation; knows neither database nor clock.

use messages::{AttemptNumber, Verdict};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// For the jobs that it needs.
    Waiting,
    /// Ready for a runner; an outbox row exists exactly as long as this lasts.
    Queued,
    /// An attempt runs.
    Running {
        /// The current attempt.
        attempt: AttemptNumber,
        /// A person asked for its end.
        cancelling: bool,
    },
    /// For ever.
    Done(Verdict),
}

impl JobState {
    /// The state in which every job is born.
    pub const FIRST: Self = Self::Waiting;
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// Every job that it needs has ended well (or it needs none).
    NeedsMet,
    /// A job that it needs has ended otherwise.
    NeedsFailed,
    /// A condition of its pipeline leaves it out of this build.
    Filtered,
    /// A runner's claim was granted.
    Started {
        /// The attempt that begins.
        attempt: AttemptNumber,
    },
    /// The attempt's report decides the job.
    Finished {
        /// The attempt that ended.
        attempt: AttemptNumber,
        /// Everything but skipped, which no attempt can say.
        verdict: Verdict,
    },
    /// The attempt could not do its work, and another one may have more luck.
    RetryAfterError {
        /// The attempt that ended.
        attempt: AttemptNumber,
    },
    /// The attempt ended with a verdict, and the pipeline wants another attempt.
    TryAgain {
        /// The attempt that ended.
        attempt: AttemptNumber,
        /// What it said: failed or timed out.
        verdict: Verdict,
    },
    /// Its runner, or the lease, is lost.
    Lost {
        /// The attempt that was lost.
        attempt: AttemptNumber,
    },
    /// Its runner gave it back.
    HandedBack {
        /// The attempt that was given back.
        attempt: AttemptNumber,
    },
    /// It was lost or went wrong too often.
    CapReached {
        /// The last attempt.
        attempt: AttemptNumber,
    },
    /// A person asked for its end.
    CancelAsked,
}

/// This event cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state:?} cannot meet {event:?}")]
pub struct IllegalEvent {
    /// Where the job stood; it stays there.
    pub state: JobState,
    /// What does not fit.
    pub event: JobEvent,
}

/// The state after `event`.
///
/// # Errors
/// [`IllegalEvent`] if the two do not fit; the state stays what it was.
pub fn next(state: &JobState, event: &JobEvent) -> Result<JobState, IllegalEvent> {
    use {JobEvent as E, JobState as S};
    match (*state, *event) {
        (S::Waiting, E::NeedsMet) => Ok(S::Queued),
        (S::Waiting, E::NeedsFailed | E::Filtered) => Ok(S::Done(Verdict::Skipped)),
        (S::Waiting | S::Queued, E::CancelAsked) => Ok(S::Done(Verdict::Cancelled)),
        (S::Queued, E::Started { attempt }) => Ok(S::Running { attempt, cancelling: false }),
        // Asked twice is asked once.
        (S::Running { attempt, .. }, E::CancelAsked) => Ok(S::Running { attempt, cancelling: true }),
        // A verdict that arrives before the cancel took effect is the truth, cancel or not.
        (S::Running { attempt, .. }, E::Finished { attempt: of, verdict })
            if attempt == of && verdict != Verdict::Skipped =>
        {
            Ok(S::Done(verdict))
        }
        (S::Running { attempt, cancelling }, E::TryAgain { attempt: of, verdict })
            if attempt == of && matches!(verdict, Verdict::Failed | Verdict::TimedOut) =>
        {
            Ok(if cancelling { S::Done(verdict) } else { S::Queued })
        }
        (
            S::Running { attempt, cancelling },
            E::Lost { attempt: of } | E::HandedBack { attempt: of } | E::RetryAfterError { attempt: of },
        ) if attempt == of => Ok(if cancelling { S::Done(Verdict::Cancelled) } else { S::Queued }),
        (S::Running { attempt, cancelling }, E::CapReached { attempt: of }) if attempt == of => {
            Ok(S::Done(if cancelling { Verdict::Cancelled } else { Verdict::Errored }))
        }
        (state, event) => Err(IllegalEvent { state, event }),
    }
}

#[cfg(test)]
mod tests;
