//! Small messages that steer: to observers and runners by control queue, and the dispatcher's own tick.

use serde::{Deserialize, Serialize};

use crate::{AttemptNumber, Incarnation, JobId, Message, MessageId};

/// dispatcher -> observer: these commits are in the ledger; stop announcing them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The ids of the announcements ([`crate::CommitSeen::message_id`]).
    pub commits: Vec<MessageId>,
    /// Announcements that can never be recorded. The observer says so and stops announcing them too.
    #[serde(default)]
    pub refused: Vec<RefusedCommit>,
}

/// An announcement that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCommit {
    /// Its id.
    pub id: MessageId,
    /// Why, for people.
    pub why: String,
}

impl Message for Recorded {
    const KIND: &'static str = "recorded";
}

/// dispatcher -> runner: stop this attempt now. An edge; the beat's answer repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelAttempt {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
}

impl Message for CancelAttempt {
    const KIND: &'static str = "cancel_attempt";
}

/// dispatcher -> runner: are you there? Only whether it can be routed matters; nobody answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {}

impl Message for Probe {
    const KIND: &'static str = "probe";
}

/// dispatcher -> itself, through the reply queue: time passes only while everything before is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Which dispatcher process sent it; ticks of another one are ignored.
    pub incarnation: Incarnation,
    /// Counts up from 0.
    pub number: u64,
}

impl Message for Tick {
    const KIND: &'static str = "tick";
}
