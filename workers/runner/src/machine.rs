//! The real hands of a runner: mirrors, workspaces, supervised processes, and the spool on disk.
//!
//! Only wires them to the interface that the protocol knows (`hands.rs`). Must not know: the broker.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use messages::{AttemptNumber, ErroredKind, ErroredReason, Finished, Job, JobId, Outcome, TestCase, TestSummary};
use tokio::sync::watch;

use crate::attempt::{self, Over, Ready};
use crate::gather;
use crate::hands::{Ended, Hands, Kept, Prepared, Progress, StopWhy, Ticket};
use crate::leash::Moment;
use crate::mirror::Mirrors;
use crate::output::Log;
use crate::process::Supervised;
use crate::spool::{Entry, Spool};
use crate::workspace::Workspaces;

/// Everything that is made once for a runner's life.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) mirrors: Mirrors,
    pub(crate) workspaces: Workspaces,
    pub(crate) spool: Spool,
    /// The program that supervises a job's processes.
    pub(crate) supervisor: PathBuf,
    /// How long a job has between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    pub(crate) max_log_bytes: u64,
}

struct OnMachine {
    machine: Machine,
    ready: io::Result<Ready>,
}

impl Hands for Machine {
    fn prepare(&self, job: &Job) -> Box<dyn Prepared> {
        Box::new(OnMachine { machine: self.clone(), ready: attempt::prepare(self, job) })
    }

    fn keep(&self, job: JobId, attempt: AttemptNumber) -> Arc<dyn Kept> {
        Arc::new(self.spool.create(job, attempt))
    }

    fn trial(&self) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let (spool, workspaces) = (self.spool.clone(), self.workspaces.clone());
            let room = blocking(move || {
                spool.trial()?;
                workspaces.trial()
            });
            room.await.map_err(|cause| format!("write to the disk: {cause}"))?;
            drop(Supervised::start(&self.supervisor).map_err(|cause| format!("start a process: {cause}"))?);
            Ok(())
        }
        .boxed()
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        self.workspaces.settle().boxed()
    }
}

impl Prepared for OnMachine {
    fn fault(&self) -> Option<String> {
        match &self.ready {
            Err(cause) => Some(format!("make a workspace: {cause}")),
            Ok(ready) => ready.fault().map(|cause| format!("start a process: {cause}")),
        }
    }

    fn run<'a>(
        self: Box<Self>,
        job: &'a Job,
        ticket: &'a Ticket,
        progress: watch::Sender<Progress>,
        stop: watch::Receiver<Option<StopWhy>>,
        leash: Option<watch::Receiver<Moment>>,
    ) -> BoxFuture<'a, (Ended, BoxFuture<'static, ()>)> {
        let Self { machine, ready } = *self;
        async move {
            let entry = machine.spool.entry(job.id, ticket.attempt);
            let mut log = Log::create(&entry.log(), machine.max_log_bytes, progress);
            let (over, workspace) = attempt::run(&machine, job, ticket, ready, &mut log, (stop, leash)).await;
            let Over { mut outcome, steps, stopped } = over;
            let (log_length, log_sha256, failed) = log.finish();
            if let Some(cause) = failed {
                let detail = format!("the runner's machine could not write the log: {cause}");
                let reason = ErroredReason { kind: ErroredKind::Host, detail };
                outcome = Outcome::Errored { reason, worth_retrying: true };
            }
            // Whatever the steps said: a disk without room makes the best test fail.
            if outcome == Outcome::Failed && machine.spool.is_without_room() {
                let detail = "there is no room left on the runner's disk".to_owned();
                let reason = ErroredReason { kind: ErroredKind::Host, detail };
                outcome = Outcome::Errored { reason, worth_retrying: true };
            }
            if steps_ran(&outcome)
                && stopped.is_none_or(|why| why == StopWhy::Cancel)
                && let Some(workspace) = &workspace
            {
                gather::tests(workspace.checkout.clone(), entry, job.spec.reports.clone()).await;
            }
            let clear = async move {
                if let Some(workspace) = workspace {
                    machine.workspaces.discard(workspace).await;
                }
            };
            (Ended { outcome, steps, stopped, log_length, log_sha256 }, clear.boxed())
        }
        .boxed()
    }

    fn discard(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self { machine, ready } = *self;
        async move {
            if let Ok(ready) = ready {
                ready.discard(&machine).await;
            }
        }
        .boxed()
    }
}

/// Whether there can be results of tests.
fn steps_ran(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Errored { .. })
}

impl Kept for Entry {
    fn test_pieces(&self) -> u32 {
        self.count_tests()
    }

    fn read_tests(&self, piece: u32) -> io::Result<(TestSummary, Vec<TestCase>)> {
        self.read_piece(piece)
    }

    fn log_length(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |meta| meta.len())
    }

    fn read_log(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        File::open(self.log())?.read_exact_at(bytes, offset)
    }

    fn keep_result(&self, finished: Finished) -> BoxFuture<'static, io::Result<()>> {
        let entry = self.clone();
        blocking(move || entry.write(&finished)).boxed()
    }

    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        let entry = self.clone();
        blocking(move || Entry::sync(&entry)).boxed()
    }

    fn remove(&self) -> BoxFuture<'static, ()> {
        let entry = self.clone();
        let remove = blocking(move || {
            Entry::remove(&entry);
            Ok(())
        });
        async move {
            if let Err(cause) = remove.await {
                tracing::warn!(%cause, "spool not removed");
            }
        }
        .boxed()
    }
}

/// Runs something that blocks, off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|cause| Err(io::Error::other(cause)))
}
