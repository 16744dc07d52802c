//! What runner and supervisor say to each other: one line of JSON each way, over the supervisor's
//! standard input and output.
//!
//! By pipe and not by argument, because arguments and environments are open to every process of the
//! user. Must not know: brokers, repositories, verdicts.

use std::path::PathBuf;

use messages::StepEnd;
use serde::{Deserialize, Serialize};

/// Runner to supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The first order: run these steps.
    Begin(Begin),
    /// End the tree: SIGTERM, and SIGKILL for what is left after the grace.
    Stop {
        /// How long SIGTERM may take.
        grace_ms: u64,
        /// Whether the clean-up steps run afterwards.
        finally: bool,
    },
    /// The job has not said anything for too long: end the tree as at the time limit.
    Silent,
    /// The attempt may run on until then.
    Prolong {
        /// As [`Begin::leash_ms`].
        leash_ms: u64,
    },
}

/// All that the supervisor needs to know about a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// Shell texts, run one after the other until one fails.
    pub(crate) steps: Vec<String>,
    /// Shell texts that run in any case, afterwards.
    pub(crate) finally: Vec<String>,
    /// The limit of all of these together.
    pub(crate) finally_timeout_ms: u64,
    /// Program and arguments to which a step is given; at least the program.
    pub(crate) shell: Vec<String>,
    /// Where each step starts.
    pub(crate) dir: PathBuf,
    /// The whole environment of each step.
    pub(crate) env: Vec<(String, String)>,
    /// The limit of all steps together.
    pub(crate) timeout_ms: u64,
    /// How long SIGTERM may take when the time is over.
    pub(crate) grace_ms: u64,
    /// How long SIGTERM may take for what the steps left behind.
    pub(crate) stray_grace_ms: u64,
    /// When everything is killed unless it is prolonged: milliseconds since the machine was started. The
    /// supervisor watches it, because the runner may be frozen when it comes.
    pub(crate) leash_ms: Option<u64>,
}

/// Supervisor to runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// A step ended.
    Step {
        /// Its place in [`Begin::steps`].
        index: usize,
        /// How.
        end: StepEnd,
        /// After how long.
        duration_ms: u64,
    },
    /// Nothing of the job runs any more. The last report.
    End(End),
}

/// Why a job's steps are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// The last step ended, or one failed.
    Done,
    /// The time limit ended them.
    TimedOut,
    /// The limit of silence ended them.
    Silent,
    /// An order ended them.
    Stopped,
    /// The leash ended them.
    CutOff,
    /// A step could not be started in its directory, which the steps before it removed, replaced or locked.
    DirectoryGone {
        /// The system's words.
        why: String,
    },
    /// A step that can be given to no process: its text or environment is too long, or holds a zero byte.
    Unfit {
        /// The system's words.
        why: String,
    },
    /// A step could not be started for a reason that no step is known to have made.
    NotStarted {
        /// The system's words.
        why: String,
    },
}
