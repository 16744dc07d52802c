//! dispatcher -> runner: here is work.
//!
//! The message holds all that a runner needs to do the job and nothing that it must keep secret:
//! number, token and secrets come with the claim's answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BuildId, CommitId, JobId, Message, MessageId, PoolName, RefName, RepositoryName};

/// The time limit of clean-up steps that name none, in seconds: five minutes.
pub const FINALLY_TIMEOUT_SECONDS: u64 = 300;

fn finally_timeout() -> u64 {
    FINALLY_TIMEOUT_SECONDS
}

fn is_finally_timeout(seconds: &u64) -> bool {
    *seconds == FINALLY_TIMEOUT_SECONDS
}

/// The longest time limit of a job, in seconds: one week.
pub const MAX_TIMEOUT_SECONDS: u64 = 7 * 24 * 3600;

/// A repository and where to fetch it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RepositorySource {
    /// Its name within this Thump.
    pub name: RepositoryName,
    /// A local path or a URL for git. It may carry no password: those come from git's own helpers.
    pub url: String,
}

/// One job on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id; also the message's correlation id.
    pub id: JobId,
    /// The build it belongs to.
    pub build: BuildId,
    /// The build's number within its repository, for people and for the job's environment.
    pub build_number: u64,
    /// Where the commit can be fetched.
    pub repository: RepositorySource,
    /// The ref that led to the commit.
    #[serde(rename = "ref")]
    pub ref_name: RefName,
    /// What to check out.
    pub commit: CommitId,
    /// The job's name within its build.
    pub name: String,
    /// Which runners may take it.
    pub pool: PoolName,
    /// What to do.
    pub spec: JobSpec,
}

impl Job {
    /// The same for every publication of the same job.
    pub fn message_id(&self) -> MessageId {
        MessageId(self.id.0)
    }
}

impl Message for Job {
    const KIND: &'static str = "job";
}

/// What a job does, as the pipeline planned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The commands, or the order to find them.
    pub work: Work,
    /// Environment variables for every step.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The working directory, relative to the checkout; the checkout itself if absent.
    #[serde(default)]
    pub dir: Option<String>,
    /// The time limit of all steps together, in seconds, at most [`MAX_TIMEOUT_SECONDS`].
    pub timeout_seconds: u64,
    /// Ends the steps after so many seconds without output; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_seconds: Option<u64>,
    /// Program and arguments to which each step is given as one more argument; the runner's if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Steps that run in any case once the others have ended, and do not change the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<Step>,
    /// The time limit of these together, in seconds.
    #[serde(default = "finally_timeout", skip_serializing_if = "is_finally_timeout")]
    pub finally_timeout_seconds: u64,
    /// Two attempts of it must never run at once, even if that costs a running one ([`crate::LEASH`]).
    #[serde(default)]
    pub exclusive: bool,
    /// Where its test results are looked for.
    #[serde(default)]
    pub reports: ReportSources,
}

impl JobSpec {
    /// This work within this time, and nothing beyond the defaults.
    pub fn new(work: Work, timeout_seconds: u64) -> Self {
        Self {
            work,
            env: BTreeMap::new(),
            dir: None,
            timeout_seconds,
            exclusive: false,
            reports: ReportSources::default(),
            silence_seconds: None,
            shell: Vec::new(),
            finally: Vec::new(),
            finally_timeout_seconds: FINALLY_TIMEOUT_SECONDS,
        }
    }
}

/// Where the test results of a job are looked for when it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportSources {
    /// Patterns of JUnit XML files, relative to the checkout.
    #[serde(default)]
    pub files: Vec<String>,
    /// Whether the log is read for the forms that are known by sight.
    pub log: bool,
}

impl Default for ReportSources {
    fn default() -> Self {
        Self { files: Vec::new(), log: true }
    }
}

/// The commands of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Run these, one after the other, until one fails.
    Steps {
        /// At least one.
        steps: Vec<Step>,
    },
    /// The commit has no pipeline file: look at the checkout and run its usual test command.
    Recognise,
}

/// One command of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Given to the shell as it stands; no text from outside is put into it.
    pub run: String,
}
