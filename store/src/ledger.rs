//! The handle that dispatcher and dashboard hold, and every write.
//!
//! Only the door: what a write does stands in `writes/`, how it is saved in `writer.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use messages::{AttemptNumber, AttemptToken, BuildId, Incarnation, JobId, PoolName, RunnerName, TestResults};
use tokio::sync::watch;

use crate::leader_file;
use crate::parking::{NoLetter, NotParked, Replayed};
use crate::sqlite::{self, Pool, SameFile};
use crate::writer::Writer;
use crate::writes::{cancel, claim, dead, finish, intake, leader, lose, park, publish, retry, runners, tests};
use crate::{
    ClaimDecision, Epoch, Intake, LedgerError, Logs, LossCause, NewBuild, NewDeadLetter, OpenError, Recording, Report,
    Requeue, RunnerSeen,
};

/// The lead, held by this process.
struct Leadership {
    epoch: Epoch,
    lock: leader_file::Lock,
    renewed: Instant,
}

/// The ledger. Cheap to clone; clones share the database.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) writer: Writer,
    pub(crate) readers: Pool,
    logs: Logs,
    pub(crate) leader_file: PathBuf,
    pub(crate) file: SameFile,
    /// Held as long as this process leads, so that its end, however it comes, ends the leadership.
    leadership: Arc<Mutex<Option<Leadership>>>,
    /// What is seen of another leader while this one waits.
    leader_watch: Arc<Mutex<leader_file::Watch>>,
}

impl Ledger {
    /// Opens (and migrates) the ledger at `url`: `sqlite:<path>`. Logs go to `logs/` in `data`. Several
    /// processes may have the same ledger open: each may read, people's orders may come through any, and
    /// the one that leads writes the rest. Needs a tokio runtime, in which its writer lives.
    ///
    /// # Errors
    /// See [`OpenError`]: each names the file and the remedy, and leaves the file as it is.
    pub async fn open(url: &str, data: &Path) -> Result<Self, OpenError> {
        let path = sqlite::path_of(url)?;
        let (connection, readers) = sqlite::open(&path).await?;
        let unusable =
            |cause: &dyn std::fmt::Display| OpenError::Unusable { path: path.clone(), cause: cause.to_string() };
        let last_change = sqlx::query_scalar("SELECT change_number FROM ledger_state WHERE id = 1")
            .fetch_one(&readers)
            .await
            .map_err(|cause| unusable(&cause))?;
        let file = SameFile::at(&path).map_err(|cause| unusable(&cause))?;
        let logs = Logs::open(&data.join("logs")).map_err(|cause| unusable(&cause))?;
        Ok(Self {
            writer: Writer::start(connection, file.clone(), last_change),
            readers,
            logs,
            file,
            leader_file: leader_file::of(&path),
            leader_watch: Arc::default(),
            leadership: Arc::default(),
        })
    }

    /// The last call, when nothing is written any more: readers end, and all that is committed moves into
    /// the main file, so that a copy of that file alone is a backup. Every clone can be read no more.
    ///
    /// # Errors
    /// Another process is in the way. Nothing is lost: the rest lies beside the main file, as ever.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.readers.close().await;
        sqlite::gather(&self.file).await
    }

    /// The logs of all attempts.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The number of the last committed change; wakes on every commit of this process.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.writer.changes()
    }

    /// Tries to become the one dispatcher that writes. `None`: another one leads and is alive. After the
    /// death of the former leader's process the next call succeeds at once; one that is frozen is succeeded
    /// when it has not renewed its lead for 15 s of calls. Call every second.
    pub async fn lead(&self, holder: &str) -> Result<Option<Epoch>, LedgerError> {
        let lock = {
            let mut watch = self.leader_watch.lock().unwrap_or_else(PoisonError::into_inner);
            leader_file::take(&self.leader_file, &mut watch)?
        };
        let Some(lock) = lock else { return Ok(None) };
        let renewed = Instant::now();
        let epoch = self.writer.submit(None, leader::Lead(holder.to_owned())).await?;
        *self.leadership.lock().unwrap_or_else(PoisonError::into_inner) = Some(Leadership { epoch, lock, renewed });
        Ok(Some(epoch))
    }

    /// Whether this very handle, or a clone of it, leads.
    pub(crate) fn leads_itself(&self) -> bool {
        self.leadership.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Renews the leadership. Call every 2 s.
    ///
    /// # Errors
    /// [`LedgerError::Deposed`] when another one leads.
    pub async fn renew(&self, epoch: Epoch) -> Result<(), LedgerError> {
        let now = Instant::now();
        let current: i64 =
            sqlx::query_scalar("SELECT epoch FROM ledger_state WHERE id = 1").fetch_one(&self.readers).await?;
        if current == epoch.0 {
            let mut leadership = self.leadership.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(held) = leadership.as_mut().filter(|held| held.epoch == epoch) {
                held.renewed = now;
                if let Err(cause) = held.lock.beat() {
                    tracing::warn!(%cause, "the leader's file cannot be written; another dispatcher may take the lead");
                }
            }
            return Ok(());
        }
        // Without the lock nobody else could lead, and we may not.
        self.release(epoch);
        Err(LedgerError::Deposed)
    }

    /// [`Ledger::renew`], if the last time is so long ago that another one may lead by now: the process was
    /// frozen, or the disk was. To be called before anything is said in the leader's name that is not written
    /// into the ledger, where the epoch would refuse it.
    ///
    /// # Errors
    /// As [`Ledger::renew`].
    pub async fn confirm(&self, epoch: Epoch) -> Result<(), LedgerError> {
        let is_sure = {
            let leadership = self.leadership.lock().unwrap_or_else(PoisonError::into_inner);
            leadership.as_ref().is_some_and(|held| held.epoch == epoch && held.renewed.elapsed() < leader_file::SURE)
        };
        if is_sure { Ok(()) } else { self.renew(epoch).await }
    }

    /// Ends the leadership in order.
    pub async fn resign(&self, epoch: Epoch) -> Result<(), LedgerError> {
        // Also when the caller stops waiting for a locked database: a lock that nobody uses would keep
        // every dispatcher from leading, this one included.
        let _release = Release { ledger: self, epoch };
        self.writer.submit(Some(epoch), leader::Resign).await
    }

    /// Records commits as builds with their jobs. Idempotent by repository, ref and commit. Jobs without
    /// needs are queued with an outbox row; a plan that is an error makes a done, errored build.
    pub async fn record_builds(&self, epoch: Epoch, builds: Vec<NewBuild>) -> Result<Vec<Intake>, LedgerError> {
        self.writer.submit(Some(epoch), intake::Record(builds)).await
    }

    /// Marks publications as confirmed.
    pub async fn mark_published(&self, epoch: Epoch, jobs: Vec<JobId>) -> Result<(), LedgerError> {
        self.writer.submit(Some(epoch), publish::MarkPublished(jobs)).await
    }

    /// Makes published, queued jobs unpublished again: these jobs, or all of a pool whose queue was lost.
    pub async fn mark_unpublished(&self, epoch: Epoch, which: Unpublish) -> Result<u64, LedgerError> {
        self.writer.submit(Some(epoch), publish::MarkUnpublished(which)).await
    }

    /// Decides claims; the answers stand in the order of the questions. Each is one transaction's worth,
    /// committed together.
    pub async fn claim(&self, epoch: Epoch, claims: Vec<ClaimRequest>) -> Result<Vec<ClaimDecision>, LedgerError> {
        self.writer.submit(Some(epoch), claim::Claim(claims)).await
    }

    /// Records reports of ended attempts, releases or skips the jobs that needed them, and gives their
    /// builds a verdict when all jobs have one. Answers in order.
    pub async fn finish(&self, epoch: Epoch, reports: Vec<Report>) -> Result<Vec<Recording>, LedgerError> {
        self.writer.submit(Some(epoch), finish::Finish(reports)).await
    }

    /// Records a piece of the test results of the current attempt, and moves the history of each test on.
    /// A piece that came before is [`Recording::Again`].
    pub async fn record_tests(&self, epoch: Epoch, results: TestResults) -> Result<Recording, LedgerError> {
        self.writer.submit(Some(epoch), tests::Record(results)).await
    }

    /// An attempt was given back by its runner: the job is queued again, the attempt is not counted.
    pub async fn hand_back(
        &self,
        epoch: Epoch,
        job: JobId,
        attempt: AttemptNumber,
        token: AttemptToken,
    ) -> Result<Requeue, LedgerError> {
        self.writer.submit(Some(epoch), lose::HandBack { job, attempt, token }).await
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
        self.writer.submit(Some(epoch), lose::Lose { job, attempt, cause, detail: detail.to_owned() }).await
    }

    /// Asks for the end of a job: a waiting or queued one is cancelled at once, a running one is marked.
    /// Needs no epoch: people ask for it, whoever leads. Returns whether anything changed.
    pub async fn cancel_job(&self, job: JobId, who: &str) -> Result<bool, LedgerError> {
        self.writer.submit(None, cancel::CancelJob { job, who: who.to_owned() }).await
    }

    /// [`Ledger::cancel_job`] for every job of a build that is not done.
    pub async fn cancel_build(&self, build: BuildId, who: &str) -> Result<bool, LedgerError> {
        self.writer.submit(None, cancel::CancelBuild { build, who: who.to_owned() }).await
    }

    /// Makes a new job like this done one, linked to it, and opens its build again. Jobs that were skipped
    /// because of it are made anew too. An older job of a name that was retried already is retried by way
    /// of the newest one. `None`: unknown, not done, or skipped because of a job that it needs, which is
    /// then the one to retry.
    pub async fn retry_job(&self, job: JobId, who: &str) -> Result<Option<JobId>, LedgerError> {
        self.writer.submit(None, retry::Retry { job, who: who.to_owned() }).await
    }

    /// Runs a parked job again: [`Ledger::retry_job`], but only for a job that ended errored and that nobody
    /// has run again yet.
    pub async fn replay_job(&self, job: JobId, who: &str) -> Result<Result<JobId, NotParked>, LedgerError> {
        self.writer.submit(None, park::Replay { job, who: who.to_owned() }).await
    }

    /// Takes a parked job off the list. It stays in history, and can still be run again.
    pub async fn discard_job(&self, job: JobId, who: &str) -> Result<Result<(), NotParked>, LedgerError> {
        self.writer.submit(None, park::Discard { job, who: who.to_owned() }).await
    }

    /// Notes a beat. Cheap enough for every beat of every runner.
    pub async fn runner_seen(&self, epoch: Epoch, runner: RunnerSeen) -> Result<(), LedgerError> {
        self.writer.submit(Some(epoch), runners::Seen(runner)).await
    }

    /// Notes that a runner's beats have ended, or that it said goodbye.
    pub async fn runner_gone(&self, epoch: Epoch, runner: &RunnerName) -> Result<(), LedgerError> {
        self.writer.submit(Some(epoch), runners::Gone(runner.clone())).await
    }

    /// Keeps a message that was put aside.
    pub async fn record_dead_letter(&self, epoch: Epoch, letter: NewDeadLetter) -> Result<(), LedgerError> {
        self.writer.submit(Some(epoch), dead::Keep(letter)).await
    }

    /// Orders the replay of a dead letter; the leading dispatcher carries it out.
    pub async fn replay_letter(&self, number: i64, who: &str) -> Result<Result<(), NoLetter>, LedgerError> {
        self.writer.submit(None, dead::Replay { number, who: who.to_owned() }).await
    }

    /// Takes a dead letter off the list. It stays in history as long as the limits keep it.
    pub async fn discard_letter(&self, number: i64, who: &str) -> Result<Result<(), NoLetter>, LedgerError> {
        self.writer.submit(None, dead::Discard { number, who: who.to_owned() }).await
    }

    /// Notes how a try to publish a letter again ended.
    pub async fn letter_replayed(&self, epoch: Epoch, number: i64, outcome: Replayed) -> Result<(), LedgerError> {
        self.writer.submit(Some(epoch), dead::Settle { number, outcome }).await
    }

    /// Frees the lock, unless it belongs to a later leadership of ours.
    fn release(&self, epoch: Epoch) {
        let mut leadership = self.leadership.lock().unwrap_or_else(PoisonError::into_inner);
        if leadership.as_ref().is_some_and(|held| held.epoch == epoch) {
            *leadership = None;
        }
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

/// Frees the leader's lock at its end, however that comes.
struct Release<'l> {
    ledger: &'l Ledger,
    epoch: Epoch,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.ledger.release(self.epoch);
    }
}
