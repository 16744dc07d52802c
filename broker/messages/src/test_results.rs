//! runner -> dispatcher: what the tests of one attempt said.
//!
//! Apart from the result, because it may be large and never decides anything: it travels in pieces beside
//! the log, may be lost there, and is sent again until the dispatcher has recorded all of it.

use serde::{Deserialize, Serialize};

use crate::{AttemptNumber, AttemptToken, JobId, Message, MessageId};

/// The most cases that are kept of one attempt; the others are counted.
pub const MAX_TEST_CASES: usize = 10_000;
/// The most cases in one piece.
pub const MAX_CASES_IN_PIECE: usize = 500;
/// The most pieces of one attempt.
pub const MAX_TEST_PIECES: u32 = 64;
/// The longest suite, class or name of a test, in bytes.
pub const MAX_TEST_NAME_BYTES: usize = 500;
/// The longest message of a test, in bytes.
pub const MAX_TEST_MESSAGE_BYTES: usize = 4 * 1024;

/// One piece of the test results of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResults {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
    /// Which piece, from 0.
    pub piece: u32,
    /// How many there are.
    pub pieces: u32,
    /// About the whole: the same in every piece.
    pub summary: TestSummary,
    /// The cases of this piece.
    pub cases: Vec<TestCase>,
}

impl TestResults {
    /// The same for every repeat of the same piece.
    pub fn message_id(&self) -> MessageId {
        MessageId::of(&["tests", &self.job.to_string(), &self.attempt.to_string(), &self.piece.to_string()])
    }
}

impl Message for TestResults {
    const KIND: &'static str = "test_results";
}

/// How many tests ended how, and what is not in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSummary {
    /// All cases, those that are not kept included.
    pub counts: TestCounts,
    /// How many of them are not kept by name.
    pub cut: u64,
    /// What could not be read, and why; a few short lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// Passed at once.
    pub passed: u64,
    /// An expectation of the test was not met.
    pub failed: u64,
    /// The test itself could not be carried out.
    pub errored: u64,
    /// Not run.
    pub skipped: u64,
    /// Failed first and passed when it was repeated.
    pub flaky: u64,
}

impl TestCounts {
    /// How many ended so.
    pub fn of_mut(&mut self, outcome: TestOutcome) -> &mut u64 {
        match outcome {
            TestOutcome::Passed => &mut self.passed,
            TestOutcome::Failed => &mut self.failed,
            TestOutcome::Errored => &mut self.errored,
            TestOutcome::Skipped => &mut self.skipped,
            TestOutcome::Flaky => &mut self.flaky,
        }
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        [self.passed, self.failed, self.errored, self.skipped, self.flaky]
            .iter()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCase {
    /// The file, program or package that it belongs to; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suite: String,
    /// The class or module within the suite; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: TestOutcome,
    /// How long it ran, in milliseconds, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it ended so, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The source file, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// As expected.
    Passed,
    /// An expectation was not met.
    Failed,
    /// The test itself could not be carried out (an exception, a crash, a broken set-up).
    Errored,
    /// It was not run.
    Skipped,
    /// It failed first and passed when it was repeated.
    Flaky,
}

impl TestOutcome {
    /// The word that pages, API and ledger use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Skipped => "skipped",
            Self::Flaky => "flaky",
        }
    }

    /// Whether it is a red test.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Errored)
    }
}
