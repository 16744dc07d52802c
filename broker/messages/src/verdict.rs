//! The closed set of final states.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidName;

/// The final state of a job or a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything ended with 0.
    Passed,
    /// The code under test failed.
    Failed,
    /// The time limit ended it.
    TimedOut,
    /// A person ended it.
    Cancelled,
    /// It was not run, and that counts as good.
    Skipped,
    /// Our side or the pipeline was at fault; an [`ErroredReason`] says how.
    Errored,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] =
        [Self::Passed, Self::Failed, Self::TimedOut, Self::Cancelled, Self::Skipped, Self::Errored];

    /// The word used in code, database, API, pages and metrics alike.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Errored => "errored",
        }
    }

    /// Whether a person waiting for this may go on (exit code 0).
    pub fn is_good(self) -> bool {
        matches!(self, Self::Passed | Self::Skipped)
    }

    /// A build's verdict from its jobs': the gravest one, where a red test outweighs a fault of ours
    /// because it stays true whatever a repeat would bring. No jobs at all count as skipped.
    pub fn of_build(jobs: impl IntoIterator<Item = Self>) -> Self {
        let gravity = |verdict: &Self| match verdict {
            Self::Skipped => 0,
            Self::Passed => 1,
            Self::Cancelled => 2,
            Self::Errored => 3,
            Self::TimedOut => 4,
            Self::Failed => 5,
        };
        jobs.into_iter().max_by_key(gravity).unwrap_or(Self::Skipped)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text).ok_or(InvalidName {
            what: "verdict",
            given: text.chars().take(100).collect(),
            needs: "one of passed, failed, timed_out, cancelled, skipped, errored",
        })
    }
}

/// Why something is `errored`: a word for programs and a line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErroredReason {
    /// What kind of trouble.
    pub kind: ErroredKind,
    /// What happened and what would mend it; may have several lines, at most 4 KiB.
    pub detail: String,
}

impl fmt::Display for ErroredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// What kind of trouble made something errored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErroredKind {
    /// The pipeline file does not say what to do.
    Pipeline,
    /// There is no pipeline file, and no usual test command was recognised.
    NothingToRun,
    /// The commit cannot be had any more.
    CommitGone,
    /// The checkout failed.
    Checkout,
    /// The runner's machine was in the way: no shell, no space, no more processes.
    Host,
    /// No dispatcher answered the runner, and the job is exclusive.
    CutOff,
    /// The job's runner was lost too often.
    RunnerLost,
    /// The job went round too often for other reasons.
    TooManyAttempts,
}

impl ErroredKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Pipeline,
        Self::NothingToRun,
        Self::CommitGone,
        Self::Checkout,
        Self::Host,
        Self::CutOff,
        Self::RunnerLost,
        Self::TooManyAttempts,
    ];

    /// The word used in the ledger and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::NothingToRun => "nothing_to_run",
            Self::CommitGone => "commit_gone",
            Self::Checkout => "checkout",
            Self::Host => "host",
            Self::CutOff => "cut_off",
            Self::RunnerLost => "runner_lost",
            Self::TooManyAttempts => "too_many_attempts",
        }
    }
}

impl FromStr for ErroredKind {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(InvalidName {
            what: "reason",
            given: text.chars().take(100).collect(),
            needs: "a kind of trouble that this version knows",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_test_is_never_hidden_by_a_fault_of_ours() {
        assert_eq!(Verdict::of_build([Verdict::Errored, Verdict::Failed, Verdict::Passed]), Verdict::Failed);
        assert_eq!(Verdict::of_build([Verdict::Skipped, Verdict::Passed]), Verdict::Passed);
        assert_eq!(Verdict::of_build([]), Verdict::Skipped);
    }

    #[test]
    fn every_word_reads_back() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse(), Ok(verdict));
            assert_eq!(serde_json::to_value(verdict).expect("serialises"), verdict.as_str());
        }
        for kind in ErroredKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.as_str());
        }
    }
}
