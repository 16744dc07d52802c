//! runner -> dispatcher -> runner: this is all that I hold; this is what becomes of it.
//!
//! The list is complete on purpose: what a beat does not name, the runner does not have. And the
//! answer repeats every standing order, so that no single control message matters.

use serde::{Deserialize, Serialize};

use crate::{AttemptNumber, AttemptToken, Birth, Incarnation, JobId, Message, PoolName, RunnerName};

/// What a runner says every 5 s, and at once after a reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Who speaks.
    pub runner: RunnerName,
    /// Which life of it. Attempts of a former life that this one does not list are void.
    pub incarnation: Incarnation,
    /// Where this life stands among the others of its folder.
    pub birth: Birth,
    /// Counts the beats of one incarnation; an answer names the beat it answers.
    pub sequence: u64,
    /// The pool it serves.
    pub pool: PoolName,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// It takes no new jobs and will exit.
    pub draining: bool,
    /// Why its machine may have no jobs for now; `None`: it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Its version of Thump.
    pub version: String,
    /// Deliveries it holds and has not started, nor been refused.
    pub held: Vec<HeldJob>,
    /// Attempts that run.
    pub running: Vec<RunningAttempt>,
    /// Attempts that ended and are not answered `recorded` yet.
    pub finished: Vec<FinishedAttempt>,
}

impl Message for Beat {
    const KIND: &'static str = "beat";
}

/// A delivery that is held and not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldJob {
    /// The job.
    pub job: JobId,
}

/// An attempt that runs on the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningAttempt {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
    /// How many bytes of log were sent so far.
    pub log_sent: u64,
}

/// An attempt that ended and whose result lies in the runner's spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedAttempt {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
    /// How many bytes of log were sent so far.
    pub log_sent: u64,
}

/// The dispatcher's answer, sent to the runner's control queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatAnswer {
    /// The life of the runner that is answered; another life ignores it.
    pub incarnation: Incarnation,
    /// Which beat it answers. An answer to an older beat than the last answered one is ignored.
    pub sequence: u64,
    /// One order for each attempt that the beat listed, running or finished.
    pub orders: Vec<AttemptOrder>,
    /// The runner shall drain.
    pub drain: bool,
}

impl Message for BeatAnswer {
    const KIND: &'static str = "beat_answer";
}

/// What becomes of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptOrder {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// What to do.
    pub order: Order,
    /// If set, the log is missing from this byte on: send it again from there.
    #[serde(default)]
    pub log_from: Option<u64>,
}

/// What to do with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Go on; or, for a finished one: the result has not arrived, send it again.
    Continue,
    /// Stop it; the verdict will be cancelled.
    Cancel,
    /// It is not the current attempt: stop it and forget it.
    Void,
    /// Its result is in the ledger: forget it.
    Recorded,
}
