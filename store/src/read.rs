//! The questions that pages, API and command ask. Reads only; never counts over history.

use messages::{AttemptNumber, BuildId, JobId};

use crate::{AttemptView, BuildFilter, BuildView, Change, JobView, Ledger, LedgerError, QueueView, RunnerView};

impl Ledger {
    /// Builds, newest first.
    pub async fn builds(&self, filter: BuildFilter) -> Result<Vec<BuildView>, LedgerError> {
        let _ = filter;
        todo!()
    }

    /// One build with its jobs.
    pub async fn build(&self, id: BuildId) -> Result<Option<BuildView>, LedgerError> {
        let _ = id;
        todo!()
    }

    /// One job.
    pub async fn job(&self, id: JobId) -> Result<Option<JobView>, LedgerError> {
        let _ = id;
        todo!()
    }

    /// Every attempt of a job, first first.
    pub async fn attempts(&self, job: JobId) -> Result<Vec<AttemptView>, LedgerError> {
        let _ = job;
        todo!()
    }

    /// Every pool that has runners or unfinished jobs.
    pub async fn queues(&self) -> Result<Vec<QueueView>, LedgerError> {
        todo!()
    }

    /// Every runner seen in the last day.
    pub async fn runners(&self) -> Result<Vec<RunnerView>, LedgerError> {
        todo!()
    }

    /// Changes after `number`, oldest first, at most `limit`.
    pub async fn changes_since(&self, number: i64, limit: u32) -> Result<Vec<Change>, LedgerError> {
        let _ = (number, limit);
        todo!()
    }

    /// The attempt whose log a reader wants when it names none: the current or last one.
    pub async fn last_attempt(&self, job: JobId) -> Result<Option<AttemptNumber>, LedgerError> {
        let _ = job;
        todo!()
    }
}
