//! The handle that dispatcher and dashboard hold, and every write.

use std::path::Path;

use messages::{AttemptNumber, AttemptToken, BuildId, Incarnation, JobId, PoolName, RunnerName};
use tokio::sync::watch;

use crate::{
    ClaimDecision, Epoch, Intake, LedgerError, Logs, LossCause, NewBuild, NewDeadLetter, OpenError, Published,
    Recording, Report, Requeue, RunnerSeen, Running, Unpublished,
};

/// The ledger. Cheap to clone; clones share the database.
#[derive(Clone)]
pub struct Ledger {}

impl Ledger {
    /// Opens (and migrates) the ledger at `url`: `sqlite:<path>`. Logs go to `logs/` in `data`.
    ///
    /// # Errors
    /// See [`OpenError`]: each names the file and the remedy, and leaves the file as it is.
    pub async fn open(url: &str, data: &Path) -> Result<Self, OpenError> {
        let _ = (url, data);
        todo!()
    }

    /// The logs of all attempts.
    pub fn logs(&self) -> &Logs {
        todo!()
    }

    /// The number of the last committed change; wakes on every commit of this process.
    pub fn changes(&self) -> watch::Receiver<i64> {
        todo!()
    }

    /// Tries to become the one dispatcher that writes. `None`: another one leads and is alive. After the
    /// death of the former leader's process the next call succeeds at once.
    pub async fn lead(&self, holder: &str) -> Result<Option<Epoch>, LedgerError> {
        let _ = holder;
        todo!()
    }

    /// Renews the leadership. Call every 2 s.
    ///
    /// # Errors
    /// [`LedgerError::Deposed`] when another one leads.
    pub async fn renew(&self, epoch: Epoch) -> Result<(), LedgerError> {
        let _ = epoch;
        todo!()
    }

    /// Ends the leadership in order.
    pub async fn resign(&self, epoch: Epoch) -> Result<(), LedgerError> {
        let _ = epoch;
        todo!()
    }

    /// Records commits as builds with their jobs. Idempotent by repository, ref and commit. Jobs without
    /// needs are queued with an outbox row; a plan that is an error makes a done, errored build.
    pub async fn record_builds(&self, epoch: Epoch, builds: Vec<NewBuild>) -> Result<Vec<Intake>, LedgerError> {
        let _ = (epoch, builds);
        todo!()
    }

    /// The oldest queued jobs of `pool` that are not published, in scheduling order.
    pub async fn unpublished(&self, pool: &PoolName, limit: u32) -> Result<Vec<Unpublished>, LedgerError> {
        let _ = (pool, limit);
        todo!()
    }

    /// Every pool that has a job which is not done.
    pub async fn pools_with_work(&self) -> Result<Vec<PoolName>, LedgerError> {
        todo!()
    }

    /// Marks publications as confirmed.
    pub async fn mark_published(&self, epoch: Epoch, jobs: Vec<JobId>) -> Result<(), LedgerError> {
        let _ = (epoch, jobs);
        todo!()
    }

    /// Makes published, queued jobs unpublished again: these jobs, or all of a pool whose queue was lost.
    pub async fn mark_unpublished(&self, epoch: Epoch, which: Unpublish) -> Result<u64, LedgerError> {
        let _ = (epoch, which);
        todo!()
    }

    /// Published, queued jobs that no attempt holds.
    pub async fn published(&self) -> Result<Vec<Published>, LedgerError> {
        todo!()
    }

    /// Decides claims; the answers stand in the order of the questions. Each is one transaction's worth,
    /// committed together.
    pub async fn claim(&self, epoch: Epoch, claims: Vec<ClaimRequest>) -> Result<Vec<ClaimDecision>, LedgerError> {
        let _ = (epoch, claims);
        todo!()
    }

    /// Records reports of ended attempts, releases or skips the jobs that needed them, and gives their
    /// builds a verdict when all jobs have one. Answers in order.
    pub async fn finish(&self, epoch: Epoch, reports: Vec<Report>) -> Result<Vec<Recording>, LedgerError> {
        let _ = (epoch, reports);
        todo!()
    }

    /// An attempt was given back by its runner: the job is queued again, the attempt is not counted.
    pub async fn hand_back(
        &self,
        epoch: Epoch,
        job: JobId,
        attempt: AttemptNumber,
        token: AttemptToken,
    ) -> Result<Requeue, LedgerError> {
        let _ = (epoch, job, attempt, token);
        todo!()
    }

    /// An attempt is lost: the job is queued again, or ends at a cap (design 5.11), or is cancelled.
    pub async fn lose(
        &self,
        epoch: Epoch,
        job: JobId,
        attempt: AttemptNumber,
        cause: LossCause,
        detail: &str,
    ) -> Result<Requeue, LedgerError> {
        let _ = (epoch, job, attempt, cause, detail);
        todo!()
    }

    /// Every attempt that runs.
    pub async fn running(&self) -> Result<Vec<Running>, LedgerError> {
        todo!()
    }

    /// Asks for the end of a job: a waiting or queued one is cancelled at once, a running one is marked.
    /// Needs no epoch: people ask for it, whoever leads. Returns whether anything changed.
    pub async fn cancel_job(&self, job: JobId, who: &str) -> Result<bool, LedgerError> {
        let _ = (job, who);
        todo!()
    }

    /// [`Ledger::cancel_job`] for every job of a build that is not done.
    pub async fn cancel_build(&self, build: BuildId, who: &str) -> Result<bool, LedgerError> {
        let _ = (build, who);
        todo!()
    }

    /// Makes a new job like this done one, linked to it, and opens its build again. `None`: it is not done.
    pub async fn retry_job(&self, job: JobId, who: &str) -> Result<Option<JobId>, LedgerError> {
        let _ = (job, who);
        todo!()
    }

    /// Notes a beat. Cheap enough for every beat of every runner.
    pub async fn runner_seen(&self, epoch: Epoch, runner: RunnerSeen) -> Result<(), LedgerError> {
        let _ = (epoch, runner);
        todo!()
    }

    /// Notes that a runner's beats have ended, or that it said goodbye.
    pub async fn runner_gone(&self, epoch: Epoch, runner: &RunnerName) -> Result<(), LedgerError> {
        let _ = (epoch, runner);
        todo!()
    }

    /// Keeps a message that was put aside.
    pub async fn record_dead_letter(&self, epoch: Epoch, letter: NewDeadLetter) -> Result<(), LedgerError> {
        let _ = (epoch, letter);
        todo!()
    }
}

/// Which publications to forget.
#[derive(Debug, Clone)]
pub enum Unpublish {
    /// These.
    Jobs(Vec<JobId>),
    /// All of a pool.
    Pool(PoolName),
    /// All.
    Everything,
}

/// A runner's question, for [`Ledger::claim`].
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The job.
    pub job: JobId,
    /// Who asks.
    pub runner: RunnerName,
    /// Which life.
    pub incarnation: Incarnation,
    /// Used if the answer is run with a new attempt: fresh random bits from the caller.
    pub token: AttemptToken,
}
