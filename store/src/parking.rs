//! What is set aside for a person, as plain data: jobs that ended errored, and messages that died.
//!
//! Apart from `model.rs` because only the pages and commands of the parking lot need it.

use jiff::Timestamp;
use messages::{CommitId, JobId, RefName, RepositoryName};
use serde::Serialize;

use crate::{JobView, Policy};

/// How many attempts may be lost with their runner. Beyond it the job itself is the likely killer.
pub const MOST_LOST: i64 = 3;
/// How many attempts may end without a verdict for whatever reason, hand-backs excepted.
pub const MOST_ROUNDS: i64 = 10;

/// How many more attempts follow those that ended in an error worth it, where the pipeline says nothing.
const ERRORED_AGAIN: u8 = 2;

/// How many attempts of a job with this policy may end in an error that was worth another one.
pub(crate) fn most_errored(policy: &Policy) -> i64 {
    i64::from(policy.retry.errored.unwrap_or(ERRORED_AGAIN)) + 1
}

/// Why an attempt brought no verdict, and so which caps it counted towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its runner was lost.
    RunnerLost,
    /// Broker or dispatcher were at fault.
    Infrastructure,
    /// It reported a fault of ours that was worth another attempt.
    Errored,
    /// It failed or timed out, and the pipeline wanted another attempt.
    TriedAgain,
}

impl EndCause {
    /// The word in the ledger and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunnerLost => "runner_lost",
            Self::Infrastructure => "infrastructure",
            Self::Errored => "errored",
            Self::TriedAgain => "tried_again",
        }
    }

    /// The caps that such an end counts towards, in words: every one counts towards the last.
    pub fn counts_towards(self) -> Vec<String> {
        let rounds = format!("{MOST_ROUNDS} attempts without a verdict");
        match self {
            Self::RunnerLost => vec![format!("{MOST_LOST} attempts lost with their runner"), rounds],
            Self::Infrastructure => vec![rounds],
            Self::Errored => vec!["attempts that ended in an error of ours".to_owned(), rounds],
            Self::TriedAgain => vec!["attempts that the pipeline asked for after a red one".to_owned(), rounds],
        }
    }
}

impl std::str::FromStr for EndCause {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::RunnerLost, Self::Infrastructure, Self::Errored, Self::TriedAgain]
            .into_iter()
            .find(|cause| cause.as_str() == word)
            .ok_or_else(|| format!("cause {word:?}"))
    }
}

/// A job that ended errored.
#[derive(Debug, Clone)]
pub struct ParkedJob {
    /// The job.
    pub job: JobView,
    /// The number of its build.
    pub build_number: u64,
    /// Its repository.
    pub repository: RepositoryName,
    /// Its ref.
    pub ref_name: RefName,
    /// Its commit.
    pub commit: CommitId,
    /// First line of the commit's message.
    pub subject: String,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// Whether it still waits for a person.
    pub standing: Standing,
    /// How far it came towards each cap.
    pub counts: CapCounts,
}

/// What became of a parked job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a person, and is listed.
    Parked,
    /// It was run again as this job.
    RunAgain(JobId),
    /// A person has done with it.
    Discarded,
}

impl Standing {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::RunAgain(_) => "run_again",
            Self::Discarded => "discarded",
        }
    }
}

/// How far a job came towards each cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapCounts {
    /// Of [`MOST_LOST`].
    pub lost: u64,
    /// Of [`CapCounts::most_errored`].
    pub errored: u64,
    /// What the pipeline says about that, or three.
    pub most_errored: u64,
    /// Of [`MOST_ROUNDS`].
    pub rounds: u64,
}

/// What a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderView {
    /// When.
    pub at: Timestamp,
    /// Who, by their own word.
    pub who: String,
    /// What.
    pub action: String,
}

/// Why an order about something parked was not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotParked {
    /// There is no such thing.
    #[error("nothing with this id is parked")]
    Unknown,
    /// The job did not end errored.
    #[error("the job did not end errored, so it is not parked; `thump retry` runs a finished job again")]
    NotErrored,
    /// It was run again before.
    #[error("the job was run again already, as {0}")]
    RunAgain(JobId),
    /// It was discarded before.
    #[error("it was discarded already")]
    Discarded,
}

/// What a message said about itself, all but its body: enough to send it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct LetterHead {
    /// The version of the words.
    pub version: u16,
    /// What the body is.
    pub kind: String,
    /// Its id, which a replay carries again.
    pub id: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Where an answer goes.
    pub reply_to: Option<String>,
    /// What an answer must carry.
    pub correlation_id: Option<String>,
}

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterStanding {
    /// It waits for a person.
    Parked,
    /// A person asked for its replay; the leading dispatcher publishes it.
    Replaying,
    /// It was published again: confirmed and routed.
    Replayed,
    /// A person has done with it.
    Discarded,
}

impl LetterStanding {
    /// The word in the ledger and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Replaying => "replaying",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

impl std::str::FromStr for LetterStanding {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Parked, Self::Replaying, Self::Replayed, Self::Discarded]
            .into_iter()
            .find(|standing| standing.as_str() == word)
            .ok_or_else(|| format!("dead letter state {word:?}"))
    }
}

/// How a try to publish a letter again ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// Confirmed and routed.
    Done,
    /// Not yet: it is tried again.
    Waits(String),
    /// It never will: it is parked again, with this note.
    Refused(String),
}

/// Why an order about a dead letter was not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLetter {
    /// There is no such letter, or the limits took it away.
    #[error("there is no dead letter with this number")]
    Unknown,
    /// It says too little about itself to be sent again.
    #[error("it cannot be replayed: it says neither what it is nor where it was sent; discard it")]
    Nameless,
    /// That was ordered before.
    #[error("it is being replayed already; show tells when that is done")]
    Replaying,
    /// That has been done.
    #[error("it was replayed already; if it died again it is parked under a new number")]
    Replayed,
    /// That has been done.
    #[error("it was discarded already")]
    Discarded,
}
