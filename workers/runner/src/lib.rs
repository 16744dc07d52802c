//! Does: takes a job, asks for it, checks its commit out, runs its steps, tells how it ended.
//!
//! ```text
//! lease.rs     one job: take, claim, do, make durable, hand on, ack
//!   claim.rs       may I run it?
//!   report.rs      the result on its way      stream.rs   the log on its way
//! holdings.rs  what this runner has, as a pure state
//! quarantine.rs   when this machine may have no jobs
//! beat.rs      says all of it every 5 s, obeys the answer        drain.rs   the end
//! hands.rs     all that the above needs of the machine, as an interface; below it is machine.rs:
//!   attempt.rs     checkout.rs (mirror.rs), recognise.rs, process.rs -> supervisor/ -> the steps
//!   output.rs      the log on disk            spool.rs    what we owe the ledger
//! ```
//!
//! Must not know: the ledger, other runners, why a job exists.

mod attempt;
mod backoff;
mod beat;
mod checkout;
mod claim;
mod context;
pub mod decoders;
mod delete;
mod drain;
mod folder;
mod gather;
mod hands;
mod holdings;
mod lease;
mod leash;
mod machine;
mod mirror;
mod output;
mod process;
mod quarantine;
mod recognise;
mod report;
mod spool;
mod stream;
mod supervisor;

mod workspace;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{Broker, Consumer, Event, Listener, Queue, RefusedError};
use futures::future::{BoxFuture, FutureExt};
use messages::{Birth, Finished, PoolName, RunnerName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use context::{Attempt, Context, Settle};
use drain::{Ending, Next};
use machine::Machine;
use report::Parcel;

pub use hands::{Ended, Hands, Kept, Prepared, Progress, StopWhy, Ticket};
pub use leash::Moment;
pub use supervisor::supervise;

/// Consumers that are kept for what they brought; one for each quarantine while a job runs on.
const MOST_FORMER: usize = 8;

/// How a runner is set up. Start from [`Settings::new`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where mirrors, workspaces and spools are; shared by the runners of one machine.
    pub data: PathBuf,
    /// How it is called; by default the host's name, a number and a random end, kept in its folder.
    pub name: Option<RunnerName>,
    /// Whose jobs it takes.
    pub pool: PoolName,
    /// How many jobs it runs at once; 0 counts as 1.
    pub slots: u16,
    /// How long running jobs may take to end after [`Stop::drain`].
    pub drain_limit: Duration,
    /// How much of a job's log is kept.
    pub max_log_bytes: u64,
    /// How often it says what it holds.
    pub beat_every: Duration,
    /// How long a job has after SIGTERM (time limit, cancel) before SIGKILL.
    pub grace: Duration,
    /// The program whose hidden subcommand `supervise` calls [`supervise`].
    pub supervisor: PathBuf,
}

impl Settings {
    /// The defaults for runners in the folder `data`. As `supervisor`, `/proc/self/exe` outlives the
    /// replacement of the program by another version while we run; the program's path does not.
    pub fn new(data: PathBuf, supervisor: PathBuf) -> Self {
        Self {
            data,
            name: None,
            pool: PoolName::default(),
            slots: 1,
            drain_limit: Duration::from_secs(600),
            max_log_bytes: 64 * 1024 * 1024,
            beat_every: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            supervisor,
        }
    }
}

/// How a runner is ended from outside.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Take no new jobs, finish the running ones, leave.
    pub drain: CancellationToken,
    /// Hand the running ones back too.
    pub now: CancellationToken,
}

/// Why a runner cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The data folder cannot be used.
    #[error("use the runner's folder in {}: {cause}; choose another one with --data", data.display())]
    Folder {
        /// The data folder.
        data: PathBuf,
        /// The system's words.
        #[source]
        cause: std::io::Error,
    },
    /// The broker refuses us.
    #[error(transparent)]
    Refused(#[from] RefusedError),
    /// The connection was closed for good while the runner was not to stop.
    #[error("the broker connection was closed")]
    Closed,
}

/// Runs jobs until `stop` or until the dispatcher says drain.
///
/// # Errors
/// What no waiting mends: [`RunnerError`]. A broker or dispatcher that is away is waited for.
pub async fn run(settings: Settings, broker: Broker, stop: Stop) -> Result<(), RunnerError> {
    // The job runs as the same user: it shall read neither our memory nor our environment, where the
    // broker's password is.
    if let Err(cause) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%cause, "jobs of this user may look into this process");
    }
    let (_folder, machine, life) =
        open(&settings).map_err(|cause| RunnerError::Folder { data: settings.data.clone(), cause })?;
    run_with(settings, life, Arc::new(machine), broker, stop).await
}

/// One life of a runner.
pub struct Life {
    /// How it is called.
    pub name: RunnerName,
    /// Where it stands among the lives of its folder.
    pub birth: Birth,
    /// Results of former lives that are not recorded yet.
    pub owed: Vec<(Arc<dyn Kept>, Finished)>,
}

/// [`run`] with other hands than this machine's.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    mut settings: Settings,
    life: Life,
    hands: Arc<dyn Hands>,
    broker: Broker,
    stop: Stop,
) -> Result<(), RunnerError> {
    settings.slots = settings.slots.max(1);
    let context = Arc::new(Context::new(settings, (life.name, life.birth), broker, hands));
    // Whatever ends this function ends its tasks, and with them every job's tree.
    let _life = context.life.clone().drop_guard();
    tokio::select! {
        biased;
        up = context.broker.wait_until_up() => up?,
        () = stop.drain.cancelled() => return Ok(()),
        () = stop.now.cancelled() => return Ok(()),
    }
    let Settings { pool, slots, .. } = &context.settings;
    tracing::info!(name = %context.name, %pool, slots, "runner started");
    for (kept, finished) in life.owed {
        inherit(&context, kept, finished);
    }
    let jobs = context.broker.consume(Queue::Jobs(pool.clone()), *slots);
    let (name, incarnation) = (context.name.clone(), context.incarnation);
    let control = context.broker.listen(Listener::Runner { name, incarnation, pool: pool.clone() });
    context.spawn(beat::beat(context.clone()));
    let ended = work(&context, jobs, control, &stop).await;
    context.tidy().await;
    tracing::info!(name = %context.name, "runner stopped");
    ended
}

fn open(settings: &Settings) -> std::io::Result<(folder::Folder, Machine, Life)> {
    std::fs::create_dir_all(&settings.data)?;
    let folder = folder::take(&settings.data, settings.name.clone())?;
    let mirrors = mirror::Mirrors::open(settings.data.canonicalize()?.join("mirrors"))?;
    let workspaces = workspace::Workspaces::open(&folder.path)?;
    let (spool, left) = spool::Spool::open(folder.path.join("spool"))?;
    if !left.died.is_empty() {
        process::sweep(&left.died);
    }
    tracing::info!(name = %folder.name, folder = %folder.path.display(), "runner's folder");
    let machine = Machine {
        mirrors,
        workspaces,
        spool,
        supervisor: settings.supervisor.clone(),
        grace: settings.grace,
        max_log_bytes: settings.max_log_bytes,
    };
    let owed = left.results.into_iter().map(|(entry, finished)| (Arc::new(entry) as Arc<dyn Kept>, finished));
    let life = Life { name: folder.name.clone(), birth: folder.birth, owed: owed.collect() };
    Ok((folder, machine, life))
}

/// Takes over a result that a former life could not deliver.
fn inherit(context: &Arc<Context>, kept: Arc<dyn Kept>, mut finished: Finished) {
    let (job, ticket) = (finished.job, Ticket { attempt: finished.attempt, token: finished.token.clone() });
    tracing::info!(%job, attempt = %ticket.attempt, "result of a former life sent again");
    finished.runner = context.name.clone();
    finished.incarnation = context.incarnation;
    let attempt = Attempt::new(kept, None);
    context.attempts().insert(job, attempt.clone());
    context.holdings().inherit(job, ticket.clone());
    lease::stream_again(context, &finished, ticket, &attempt);
    context.spawn(report::report(context.clone(), job, attempt, Parcel::Finished(Box::new(finished))));
}

async fn work(
    context: &Arc<Context>,
    mut jobs: Consumer,
    mut control: Consumer,
    stop: &Stop,
) -> Result<(), RunnerError> {
    let mut ending = Ending::default();
    let mut hears = true;
    // Ends when this machine may have jobs again.
    let mut rest: Option<BoxFuture<'static, ()>> = None;
    // What running jobs were brought by: a consumer that is dropped voids what it delivered.
    let mut former = VecDeque::new();
    loop {
        let draining = context.is_draining();
        if context.holdings().is_empty() {
            former.clear();
        }
        let until = if draining {
            let (working, empty) = {
                let holdings = context.holdings();
                (holdings.is_working(), holdings.is_empty())
            };
            match ending.next(Instant::now(), working, empty) {
                Next::Leave => return Ok(()),
                Next::HandBack => {
                    hand_back(context);
                    continue;
                }
                Next::Wait(until) => until,
            }
        } else {
            None
        };
        tokio::select! {
            biased;
            () = stop.now.cancelled(), if !ending.is_hurried() => {
                if !draining {
                    begin_drain(context, &mut jobs, &mut ending).await;
                }
                ending.hurry(Instant::now());
            }
            () = stop.drain.cancelled(), if !draining => begin_drain(context, &mut jobs, &mut ending).await,
            event = jobs.next(), if !draining && rest.is_none() => match event {
                Some(Event::Delivery(delivery)) => lease::take(context, delivery).await,
                Some(Event::Interrupted { why }) => interrupted(context, &why).await,
                Some(Event::Resumed) => {}
                None => return Err(RunnerError::Closed),
            },
            event = control.next(), if hears => match event {
                Some(Event::Delivery(delivery)) => {
                    if beat::hear(context, &delivery).await && !draining {
                        begin_drain(context, &mut jobs, &mut ending).await;
                    }
                }
                // The dispatcher can reach us (again): say hello.
                Some(Event::Resumed) => context.beat_now.notify_one(),
                Some(Event::Interrupted { .. }) => {}
                None => hears = false,
            },
            why = context.quarantine.begun(), if !draining && rest.is_none() => {
                begin_rest(context, &mut jobs, &why).await;
                let this = context.clone();
                rest = Some(async move { this.quarantine.rest(&*this.hands).await }.boxed());
            }
            () = rested(&mut rest), if !draining => {
                rest = None;
                let Settings { pool, slots, .. } = &context.settings;
                former.push_back(std::mem::replace(&mut jobs, context.broker.consume(Queue::Jobs(pool.clone()), *slots)));
                if former.len() > MOST_FORMER {
                    former.pop_front();
                }
                tracing::info!("this machine can run jobs again");
                context.quarantine.over();
                context.beat_now.notify_one();
            }
            () = context.changed.notified(), if draining => {}
            () = sleep_until(until) => {}
        }
    }
}

async fn rested(rest: &mut Option<BoxFuture<'static, ()>>) {
    match rest {
        Some(rest) => rest.await,
        None => std::future::pending().await,
    }
}

/// Takes nothing more, and gives back what has not begun.
async fn begin_rest(context: &Context, jobs: &mut Consumer, why: &str) {
    tracing::warn!(why, "this machine cannot run jobs now; none are taken until it can");
    jobs.stop().await;
    context.quarantine.out();
    let held = context.holdings().release_held();
    for delivery in held {
        context::settle(delivery, Settle::Requeue).await;
    }
    context.beat_now.notify_one();
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn interrupted(context: &Context, why: &str) {
    tracing::warn!(why, "the job queue was interrupted; running jobs go on");
    let void = context.holdings().interrupted();
    for delivery in void {
        context::settle(delivery, Settle::Requeue).await;
    }
}

async fn begin_drain(context: &Arc<Context>, jobs: &mut Consumer, ending: &mut Ending) {
    tracing::info!(limit = ?context.settings.drain_limit, "draining: no new jobs, running ones are finished");
    context.draining.store(true, Ordering::Relaxed);
    ending.drain(Instant::now(), context.settings.drain_limit);
    jobs.stop().await;
    context.quarantine.out();
    let held = context.holdings().release_held();
    for delivery in held {
        context::settle(delivery, Settle::Requeue).await;
    }
    context.beat_now.notify_one();
}

fn hand_back(context: &Context) {
    tracing::info!("running jobs are handed back");
    for attempt in context.attempts().values() {
        attempt.stop(StopWhy::HandBack);
    }
}
