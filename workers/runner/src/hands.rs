//! Everything of a runner that touches its machine, as the protocol sees it: files, git, processes.
//!
//! Apart because the protocol (take, claim, beat, report, drain) decides what is lost and what is run
//! twice, and must be tried in a thousand orders of events; how a checkout is made must not matter to it.
//! `machine.rs` has the real ones. Must not know: the broker, the dispatcher.

use std::io;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use messages::{AttemptNumber, AttemptToken, Finished, Job, JobId, Outcome, StepResult, TestCase, TestSummary};
use tokio::sync::watch;

use crate::leash::Moment;

/// An attempt that was given to this runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its number.
    pub attempt: AttemptNumber,
    /// The proof that it is ours.
    pub token: AttemptToken,
}

/// Why a job is stopped. A later and graver reason replaces an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopWhy {
    /// Its verdict will be cancelled.
    Cancel,
    /// The runner stops; another one shall have it.
    HandBack,
    /// It is not ours any more; nobody wants a report.
    Void,
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that can be read.
    pub length: u64,
    /// No more will come.
    pub complete: bool,
}

/// How an attempt ended. Nothing of it runs any more.
#[derive(Debug)]
pub struct Ended {
    /// What it came to.
    pub outcome: Outcome,
    /// Each step that ended.
    pub steps: Vec<StepResult>,
    /// The reason, if an order ended it: then the outcome may not matter.
    pub stopped: Option<StopWhy>,
    /// How long the log is.
    pub log_length: u64,
    /// Its SHA-256 in hexadecimal.
    pub log_sha256: String,
}

/// The machine of one runner.
pub trait Hands: Send + Sync {
    /// Begins with what can be made ready before it is certain that the job is ours. Does not wait.
    fn prepare(&self, job: &Job) -> Box<dyn Prepared>;

    /// Makes room for what an attempt leaves. Where the disk refuses it, the attempt says so.
    fn keep(&self, job: JobId, attempt: AttemptNumber) -> Arc<dyn Kept>;

    /// Whether a job could begin: there is room on the disk, a process can be started.
    fn trial(&self) -> BoxFuture<'_, Result<(), String>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Waits until nothing of a job is left but what is kept.
    fn settle(&self) -> BoxFuture<'_, ()>;
}

/// A job that is made ready.
pub trait Prepared: Send {
    /// What of the machine keeps the job from beginning, if that is known already.
    fn fault(&self) -> Option<String> {
        None
    }

    /// Runs the attempt to its end, whatever that is. The second part clears away what it needed. An attempt
    /// with a `leash` is killed when the moment comes that it shows, also if this process does not run then.
    fn run<'a>(
        self: Box<Self>,
        job: &'a Job,
        ticket: &'a Ticket,
        progress: watch::Sender<Progress>,
        stop: watch::Receiver<Option<StopWhy>>,
        leash: Option<watch::Receiver<Moment>>,
    ) -> BoxFuture<'a, (Ended, BoxFuture<'static, ()>)>;

    /// Gives everything back unused.
    fn discard(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What is kept of one attempt until it is recorded: its log, its tests' results and its own.
pub trait Kept: Send + Sync {
    /// How much of the log can be read.
    fn log_length(&self) -> u64;

    /// Reads from the log; fails where it does not reach so far.
    ///
    /// # Errors
    /// What the disk says.
    fn read_log(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// How many pieces of test results are kept.
    fn test_pieces(&self) -> u32 {
        0
    }

    /// Reads one of them.
    ///
    /// # Errors
    /// There is none of this number, or what the disk says.
    fn read_tests(&self, piece: u32) -> io::Result<(TestSummary, Vec<TestCase>)> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no piece {piece}")))
    }

    /// Keeps the result so that it survives the end of this process.
    fn keep_result(&self, finished: Finished) -> BoxFuture<'static, io::Result<()>>;

    /// Waits until result and log survive the end of the machine, too.
    fn sync(&self) -> BoxFuture<'static, io::Result<()>>;

    /// Forgets all of it.
    fn remove(&self) -> BoxFuture<'static, ()>;
}
