//! runner -> dispatcher: how an attempt ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AttemptNumber, AttemptToken, ErroredReason, Incarnation, JobId, Message, MessageId, RunnerName};

/// The result of one attempt: kept in the runner's spool until it is answered `recorded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Who ran it.
    pub runner: RunnerName,
    /// The life of the runner that sends this; after a restart not the one that ran it.
    pub incarnation: Incarnation,
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
    /// How it ended.
    pub outcome: Outcome,
    /// Every step that was started, in order.
    pub steps: Vec<StepResult>,
    /// By the runner's clock, for display only.
    pub started_at: Timestamp,
    /// By the runner's clock, for display only.
    pub finished_at: Timestamp,
    /// The length of the whole log in bytes.
    pub log_length: u64,
    /// SHA-256 of the whole log, in hexadecimal.
    pub log_sha256: String,
    /// How many pieces of test results come beside it.
    #[serde(default)]
    pub test_pieces: u32,
}

impl Finished {
    /// The same for every repeat of the same result.
    pub fn message_id(&self) -> MessageId {
        MessageId::of(&["finished", &self.job.to_string(), &self.attempt.to_string()])
    }
}

impl Message for Finished {
    const KIND: &'static str = "finished";
}

/// How an attempt ended, as the runner saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Every step ended with 0.
    Passed,
    /// A step ended otherwise, or left no directory for the next one to start in: the code under test failed.
    Failed,
    /// A time limit ended it.
    TimedOut {
        /// After so many seconds without output; `None` if the limit of all steps together did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        silence_seconds: Option<u64>,
    },
    /// A cancel ended it.
    Cancelled,
    /// Our side could not do it.
    Errored {
        /// What was in the way.
        reason: ErroredReason,
        /// Whether another attempt may have more luck.
        worth_retrying: bool,
    },
}

/// One step that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// The command as it was given to the shell.
    pub run: String,
    /// How it ended.
    pub end: StepEnd,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum StepEnd {
    /// It exited.
    Exited {
        /// With this code.
        code: i32,
    },
    /// A signal that was not ours ended it.
    Signalled {
        /// Its number.
        signal: i32,
    },
    /// We ended it: time limit, cancel or hand-back.
    Stopped,
}

/// A runner gives a started or held attempt back (drain, stop): it costs no attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandBack {
    /// Who gives it back.
    pub runner: RunnerName,
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
}

impl HandBack {
    /// The same for every repeat.
    pub fn message_id(&self) -> MessageId {
        MessageId::of(&["hand_back", &self.job.to_string(), &self.attempt.to_string()])
    }
}

impl Message for HandBack {
    const KIND: &'static str = "hand_back";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_reads_alike_from_older_and_newer_runners() {
        let read = |text: &str| serde_json::from_str::<Outcome>(text).expect("reads");
        assert_eq!(read(r#"{"outcome":"timed_out"}"#), Outcome::TimedOut { silence_seconds: None });
        let silent = Outcome::TimedOut { silence_seconds: Some(60) };
        assert_eq!(read(&serde_json::to_string(&silent).expect("writes")), silent);
        let plain = serde_json::to_string(&Outcome::TimedOut { silence_seconds: None }).expect("writes");
        assert_eq!(plain, r#"{"outcome":"timed_out"}"#, "as it always was");
    }
}
