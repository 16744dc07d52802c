//! What is read about tests, as plain data. What is written comes as `messages::TestResults`.

use jiff::Timestamp;
use messages::{AttemptNumber, BuildId, CommitId, JobId, RefName, RepositoryName, TestCase, TestOutcome, TestSummary};

/// What the tests of one attempt said.
#[derive(Debug, Clone)]
pub struct JobTests {
    /// The job.
    pub job: JobId,
    /// Its build.
    pub build: BuildId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// When its first piece was recorded.
    pub recorded_at: Timestamp,
    /// About all of them.
    pub summary: TestSummary,
    /// Those that are kept by name, the red and flaky ones first. Of older reports only those, or none.
    pub cases: Vec<TestCase>,
}

/// Which tests to list.
#[derive(Debug, Clone, Default)]
pub struct TestFilter {
    /// Only of this repository.
    pub repository: Option<RepositoryName>,
    /// Only those that need a look.
    pub kind: Option<TestKind>,
    /// Only of this suite.
    pub suite: Option<String>,
    /// Only of this class.
    pub class: Option<String>,
    /// Only of this name.
    pub name: Option<String>,
    /// At most this many, up to 500.
    pub limit: u32,
}

/// Why a test needs a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestKind {
    /// Its last run was red.
    Failed,
    /// Nine of ten of its last runs take up to a second or more; the slowest first.
    Slow,
    /// One of its last runs contradicts another one on the same tree.
    Flaky,
}

/// A test as it is shown.
#[derive(Debug, Clone)]
pub struct TestView {
    /// Its id, made from its names.
    pub id: String,
    /// Its repository.
    pub repository: RepositoryName,
    /// The job that runs it.
    pub job_name: String,
    /// Its suite.
    pub suite: String,
    /// Its class.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How its last run ended.
    pub outcome: TestOutcome,
    /// When that was recorded.
    pub last_at: Timestamp,
    /// Since when it is red.
    pub failing_since: Option<Timestamp>,
    /// When it was flaky last, if that was within its last runs.
    pub flaky_at: Option<Timestamp>,
    /// What nine of ten of its last runs stay below, in milliseconds.
    pub typical_ms: u64,
}

/// One run of a test.
#[derive(Debug, Clone)]
pub struct TestRun {
    /// How it ended.
    pub outcome: TestOutcome,
    /// It contradicts another run on the same tree, or passed only when it was repeated.
    pub flaky: bool,
    /// How long it took, if that was said.
    pub duration_ms: Option<u64>,
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The build.
    pub build: BuildId,
    /// The build's number.
    pub build_number: u64,
    /// The build's ref.
    pub ref_name: RefName,
    /// The build's commit.
    pub commit: CommitId,
    /// When it was recorded.
    pub at: Timestamp,
}
