//! The nouns that travel between the roles, in the order in which one commit meets them.
//!
//! ```text
//! observer   --CommitSeen-->  dispatcher          a commit exists (commit_seen.rs)
//! dispatcher --Recorded-->    observer            ... and will never be forgotten (control.rs)
//! dispatcher --Job-->         runner              here is work (job.rs)
//! runner     --Claim-->       dispatcher          may I run it? (claim.rs)
//! dispatcher --ClaimAnswer--> runner              run, as attempt n, or drop (claim.rs)
//! runner     --Beat-->        dispatcher          this is all that I hold (beat.rs)
//! dispatcher --BeatAnswer-->  runner              continue, cancel, void or recorded (beat.rs)
//! runner     --LogChunk-->    dispatcher          bytes that the job wrote (log.rs)
//! runner     --Finished-->    dispatcher          how the attempt ended (report.rs)
//! runner     --TestResults--> dispatcher          what its tests said (test_results.rs)
//! ```
//!
//! Apart from everything else because every role speaks these words. Must not know: time, network,
//! disk, tokio, lapin. Whatever can be wrong with a message is found while it is decoded.

mod beat;
mod birth;
mod claim;
mod commit_seen;
mod control;
mod envelope;
mod ids;
mod job;
mod lease;
mod log;
mod report;
mod test_results;
mod verdict;

pub use beat::{AttemptOrder, Beat, BeatAnswer, FinishedAttempt, HeldJob, Order, RunningAttempt};
pub use birth::Birth;
pub use claim::{Claim, ClaimAnswer, DropReason};
pub use commit_seen::{
    Arrival, Author, ChangedPaths, CommitSeen, MAX_CHANGED_PATHS, MAX_PIPELINE_BYTES, MAX_SUBJECT_BYTES, PipelineSource,
};
pub use control::{CancelAttempt, Probe, Recorded, RefusedCommit, Tick};
pub use envelope::{Envelope, MAX_BODY_BYTES, Malformed, Message, VERSION};
pub use ids::{
    AttemptNumber, AttemptToken, BuildId, CommitId, Incarnation, InvalidName, JobId, MessageId, ObserverName, PoolName,
    RefName, RepositoryName, RunnerName, TreeId,
};
pub use job::{
    FINALLY_TIMEOUT_SECONDS, Job, JobSpec, MAX_TIMEOUT_SECONDS, ReportSources, RepositorySource, Step, Work,
};
pub use lease::{LEASE, LEASH, TICK};
pub use log::LogChunk;
pub use report::{Finished, HandBack, Outcome, StepEnd, StepResult};
pub use test_results::{
    MAX_CASES_IN_PIECE, MAX_TEST_CASES, MAX_TEST_MESSAGE_BYTES, MAX_TEST_NAME_BYTES, MAX_TEST_PIECES, TestCase,
    TestCounts, TestOutcome, TestResults, TestSummary,
};
pub use verdict::{ErroredKind, ErroredReason, Verdict};
