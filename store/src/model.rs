//! What is written into the ledger and read from it, as plain data.

use jiff::Timestamp;
use messages::{
    AttemptNumber, AttemptToken, Birth, BuildId, CommitId, CommitSeen, DropReason, ErroredReason, Finished,
    Incarnation, Job, JobId, JobSpec, PoolName, RefName, RepositoryName, RunnerName, StepResult, TestCounts, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::parking::{EndCause, LetterHead, LetterStanding};

/// The number of a leadership. Every write names it; a write of an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub i64);

/// A commit and what its pipeline plans, to be recorded as one build.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// The commit as it was announced.
    pub seen: CommitSeen,
    /// Its jobs, or why there can be none.
    pub plan: Result<Vec<NewJob>, ErroredReason>,
}

/// A planned job.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Unique within the build.
    pub name: String,
    /// Which runners may take it.
    pub pool: PoolName,
    /// Positions of the jobs of this build that must pass first.
    pub needs: Vec<usize>,
    /// Why a condition of the pipeline leaves it out of this build: then it is skipped at once.
    pub filtered: Option<String>,
    /// What its ends mean.
    pub policy: Policy,
    /// What it does.
    pub spec: JobSpec,
}

/// What the ends of a job mean for it and for its build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its failure does not make the build red, nor hold up the jobs that need it.
    pub allow_failure: bool,
    /// When another attempt is made.
    pub retry: RetryPolicy,
}

/// How many more attempts are made after one that ended like this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// After failed ones.
    pub failed: u8,
    /// After timed out ones.
    pub timed_out: u8,
    /// After errored ones that another attempt may mend; by default 2.
    pub errored: Option<u8>,
}

/// What became of a [`NewBuild`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// It is a build now.
    New(BuildId),
    /// The same commit on the same ref of the same repository was a build already.
    Known(BuildId),
}

/// A queued job whose publication is still to be made.
#[derive(Debug, Clone)]
pub struct Unpublished {
    /// The whole job, ready to travel.
    pub job: Job,
    /// When it became queued (again).
    pub queued_at: Timestamp,
}

/// A queued job whose publication was confirmed and that no attempt holds: by the ledger's word it lies
/// in its pool's queue.
#[derive(Debug, Clone)]
pub struct Published {
    /// The job.
    pub job: JobId,
    /// Its pool.
    pub pool: PoolName,
    /// When it was published last.
    pub published_at: Timestamp,
    /// How often it was published since it became queued.
    pub publications: u32,
}

/// What the ledger decides about a claim.
#[derive(Debug, Clone)]
pub enum ClaimDecision {
    /// It is the current attempt now (or was already, for the same runner and incarnation).
    Run {
        /// Its number.
        attempt: AttemptNumber,
        /// The holder's proof.
        token: AttemptToken,
        /// Whether the job's attempts must never overlap.
        exclusive: bool,
    },
    /// Not to be run.
    Drop(DropReason),
}

/// What became of a report of an ended attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// The verdict of the current attempt stands now (or, for an errored attempt worth retrying, the
    /// job is queued again).
    Recorded,
    /// The same report was recorded before.
    Again,
    /// Not the current attempt, or the wrong token: kept as history, counted, never the verdict.
    Stale,
    /// The ledger knows no such attempt.
    Unknown,
}

/// How an attempt was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// Its runner is gone: counts towards the cap of three.
    RunnerLost,
    /// Broker or dispatcher trouble: counts only towards the cap of ten.
    Infrastructure,
}

/// What became of a job whose attempt was lost or handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// It is queued again, with an outbox row.
    Queued,
    /// It ended (errored at the cap, or cancelled).
    Ended(Verdict),
    /// The attempt was not current any more: nothing changed.
    Stale,
}

/// An attempt that runs by the ledger's word.
#[derive(Debug, Clone)]
pub struct Running {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
    /// Who holds it.
    pub runner: RunnerName,
    /// Which life of the holder.
    pub incarnation: Incarnation,
    /// The job's pool.
    pub pool: PoolName,
    /// Whether a cancel was asked for.
    pub cancelling: bool,
    /// Whether the job's attempts must never overlap.
    pub exclusive: bool,
}

/// A runner as its last beat described it.
#[derive(Debug, Clone)]
pub struct RunnerSeen {
    /// Its name.
    pub name: RunnerName,
    /// Which life.
    pub incarnation: Incarnation,
    /// Where that life stands among the others.
    pub birth: Birth,
    /// Its pool.
    pub pool: PoolName,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// Takes nothing new.
    pub draining: bool,
    /// Why its machine may have no jobs for now.
    pub trouble: Option<String>,
    /// Its version of Thump.
    pub version: String,
}

/// A message that was put aside.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    /// The queue it was in.
    pub queue: String,
    /// Why.
    pub reason: String,
    /// Where it was published, if that is known.
    pub exchange: Option<String>,
    /// The routing key it had.
    pub key: String,
    /// What it said about itself; without it, it cannot be replayed.
    pub head: Option<LetterHead>,
    /// The body; cut to 64 KiB if it cannot be replayed.
    pub body: Vec<u8>,
    /// How many times it died, as far as is known.
    pub deaths: u64,
    /// Whether the broker says that this letter was delivered before, and may be recorded already.
    pub redelivered: bool,
}

/// A line of the change feed: something about this thing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Counts up; gaps are possible.
    pub number: i64,
    /// What changed.
    pub subject: ChangeSubject,
}

/// What a [`Change`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum ChangeSubject {
    /// A build (its jobs included).
    Build(BuildId),
    /// A job.
    Job(JobId),
    /// A runner.
    Runner(RunnerName),
    /// A message that was put aside.
    DeadLetter(i64),
}

// ---- what is read -----------------------------------------------------------------------------------

/// Which builds to list.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    /// Only this commit: a full id or at least 4 leading digits.
    pub commit: Option<String>,
    /// Only this repository.
    pub repository: Option<RepositoryName>,
    /// Only this ref (full or short name).
    pub ref_name: Option<String>,
    /// Only builds before this one in the list (keyset paging).
    pub before: Option<BuildId>,
    /// At most this many, up to 200.
    pub limit: u32,
}

/// State of a build or a job, in the words of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// For needs (jobs), or no job has been queued yet (builds).
    Waiting,
    /// Ready for a runner.
    Queued,
    /// An attempt runs.
    Running,
    /// A verdict stands.
    Done,
}

/// A build as it is shown.
#[derive(Debug, Clone)]
pub struct BuildView {
    /// Its id.
    pub id: BuildId,
    /// Counts per repository from 1.
    pub number: u64,
    /// Its repository.
    pub repository: RepositoryName,
    /// Where the repository is.
    pub url: String,
    /// Its ref.
    pub ref_name: RefName,
    /// Its commit.
    pub commit: CommitId,
    /// First line of the commit's message.
    pub subject: String,
    /// The commit's author.
    pub author: String,
    /// Where it stands.
    pub state: State,
    /// Its verdict, when done.
    pub verdict: Option<Verdict>,
    /// Why it is errored.
    pub reason: Option<ErroredReason>,
    /// Older commits of the same move that were not tested.
    pub skipped_before: u64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When its verdict was recorded.
    pub finished_at: Option<Timestamp>,
    /// Its jobs in the pipeline's order.
    pub jobs: Vec<JobView>,
}

/// A job as it is shown.
#[derive(Debug, Clone)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its build.
    pub build: BuildId,
    /// Its name within the build.
    pub name: String,
    /// Its pool.
    pub pool: PoolName,
    /// Where it stands.
    pub state: State,
    /// Names of jobs it waits for.
    pub waiting_for: Vec<String>,
    /// A cancel was asked for.
    pub cancelling: bool,
    /// Its verdict, when done.
    pub verdict: Option<Verdict>,
    /// Why it is errored.
    pub reason: Option<ErroredReason>,
    /// Why it is skipped.
    pub skipped: Option<Skipped>,
    /// Its failure does not make the build red.
    pub allow_failure: bool,
    /// The current or last attempt's number.
    pub attempt: Option<AttemptNumber>,
    /// The current or last attempt's runner.
    pub runner: Option<RunnerName>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it became queued (first time).
    pub queued_at: Option<Timestamp>,
    /// When its current or last attempt started.
    pub started_at: Option<Timestamp>,
    /// When its verdict was recorded.
    pub finished_at: Option<Timestamp>,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// What it does.
    pub spec: JobSpec,
    /// How the tests of its last attempt went, if it had any.
    pub tests: Option<TestCounts>,
}

/// Why a job is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Skipped {
    /// A condition of the pipeline leaves it out of this build. Jobs that need it go on.
    Filtered {
        /// Which condition.
        detail: String,
    },
    /// A job that it needs did not end well. Jobs that need it are skipped, too.
    Needs,
}

/// One attempt as it is shown.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// Its number.
    pub number: AttemptNumber,
    /// Who ran it.
    pub runner: RunnerName,
    /// `running`, `finished`, `lost`, `handed_back`.
    pub state: AttemptState,
    /// In words: exit code, how it was lost.
    pub detail: String,
    /// Why it brought no verdict, if that counted towards a cap.
    pub cause: Option<EndCause>,
    /// Its steps, when finished.
    pub steps: Vec<StepResult>,
    /// By the dispatcher's clock.
    pub started_at: Timestamp,
    /// By the dispatcher's clock.
    pub finished_at: Option<Timestamp>,
    /// How long its log should be, when finished.
    pub log_length: Option<u64>,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// It runs.
    Running,
    /// Its report is recorded.
    Finished,
    /// Its runner or its lease was lost.
    Lost,
    /// Its runner gave it back.
    HandedBack,
}

/// One pool's queue as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// The pool.
    pub pool: PoolName,
    /// Jobs that wait for other jobs.
    pub waiting: u64,
    /// Jobs ready for a runner.
    pub queued: u64,
    /// Attempts that run.
    pub running: u64,
    /// How long the oldest queued job has been queued.
    pub oldest_queued_at: Option<Timestamp>,
}

/// One runner as it is shown.
#[derive(Debug, Clone)]
pub struct RunnerView {
    /// Its name.
    pub name: RunnerName,
    /// The life that was heard last.
    pub incarnation: Incarnation,
    /// Where that life stands among the others; `None` if it was noted by a version that did not know.
    pub birth: Option<Birth>,
    /// Its pool.
    pub pool: PoolName,
    /// Where it stands.
    pub state: RunnerState,
    /// Why its machine may have no jobs for now.
    pub trouble: Option<String>,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// Its version of Thump.
    pub version: String,
    /// What it runs and since when.
    pub attempts: Vec<HeldAttempt>,
    /// Its last beat, by the dispatcher's clock.
    pub last_seen: Timestamp,
}

/// Where a runner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// It runs nothing and takes jobs.
    Idle,
    /// It runs something.
    Busy,
    /// It takes nothing new and will exit.
    Draining,
    /// Its own machine fails: it takes nothing until that has passed a trial.
    Quarantined,
    /// Its beats have ended.
    Gone,
}

/// An attempt in a runner's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAttempt {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub job_name: String,
    /// Which attempt.
    pub attempt: AttemptNumber,
    /// Since when.
    pub since: Timestamp,
}

/// A message that was put aside, as it is shown.
#[derive(Debug, Clone)]
pub struct DeadLetterView {
    /// Counts up in the order of arrival; never given twice.
    pub number: i64,
    /// What is kept of it; all text and the body may be anything and are never to be trusted.
    pub letter: NewDeadLetter,
    /// How long the body was.
    pub bytes: u64,
    /// Where it stands.
    pub standing: LetterStanding,
    /// Why a replay has not been made yet, or was refused.
    pub note: Option<String>,
    /// When it was put aside.
    pub recorded_at: Timestamp,
    /// When it died last.
    pub last_at: Timestamp,
}

/// What a report said, for [`crate::Ledger::finish`].
pub type Report = Finished;
