//! runner -> dispatcher -> runner: may I run this?
//!
//! The question that makes every repeated delivery harmless: of all copies of a job only the one
//! whose claim is answered with `Run` is started.

use serde::{Deserialize, Serialize};

use crate::{AttemptNumber, AttemptToken, Birth, Incarnation, JobId, Message, PoolName, RunnerName};

/// "May I run this job?" Repeated until it is answered; the same question gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who asks.
    pub runner: RunnerName,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Where this life stands among the others of its folder.
    pub birth: Birth,
    /// The pool whose queue the copy came from.
    pub pool: PoolName,
    /// What it holds.
    pub job: JobId,
    /// Whether the broker said that the copy was delivered before.
    pub redelivered: bool,
}

impl Message for Claim {
    const KIND: &'static str = "claim";
}

/// The dispatcher's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ClaimAnswer {
    /// Start it now, as this attempt.
    Run {
        /// The fencing number.
        attempt: AttemptNumber,
        /// Proves that later reports come from the asker.
        token: AttemptToken,
    },
    /// Ack the copy and forget it.
    Drop {
        /// Why, for the log.
        reason: DropReason,
    },
}

impl Message for ClaimAnswer {
    const KIND: &'static str = "claim_answer";
}

/// Why a copy is not to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The job has a verdict.
    Finished,
    /// The job was cancelled, or waits for something again.
    NotQueued,
    /// A live attempt of another runner has it.
    HeldElsewhere,
    /// The ledger does not know the job.
    Unknown,
}
