//! Publishes queued jobs as far as the window reaches, and marks what the broker confirmed.
//!
//! Rung by whatever makes room or work: intake, claims, ended attempts, beats, confirms. Serial, so that
//! no job is published twice by two rounds; a round waits for the broker and never for the ledger's disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use broker::{Exchange, Outgoing, PublishError};
use messages::{Envelope, Job, JobId, PoolName};
use seams::{Defect, planted};
use store::Unpublished;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, warn};

use crate::desk::Desk;
use crate::scheduler::Backlog;
use crate::term::Halt;
use crate::topology;

/// How many queued jobs of a pool are read at once: enough to be fair between repositories, few enough
/// to be read again at every push.
const CANDIDATES: u32 = 256;
/// First pause after a failed publish; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Confirms wait this long before they are marked. A job that is claimed meanwhile needs no mark, and
/// most are: that is one write less for each job. Whoever dies within it publishes twice, which the
/// claim makes harmless.
const MARK_AFTER: Duration = Duration::from_millis(10);

/// What the publisher knows of one pool.
#[derive(Default)]
struct Counter {
    backlog: Backlog,
    pause: Duration,
    not_before: Option<Instant>,
    declared: bool,
}

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut pools: HashMap<PoolName, Counter> = HashMap::new();
    let mut unsendable = HashSet::new();
    loop {
        let retry = pools.values().filter_map(|pool| pool.not_before).min();
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            () = desk.publisher_bell() => {}
            () = wait_until(retry) => {}
        }
        while !desk.stop.is_cancelled() && round(&desk, &mut pools, &mut unsendable).await? {}
    }
}

async fn wait_until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// One look at every pool. Returns whether anything was confirmed, so that another look is worth it.
async fn round(
    desk: &Arc<Desk>,
    pools: &mut HashMap<PoolName, Counter>,
    unsendable: &mut HashSet<JobId>,
) -> Result<bool, Halt> {
    let (names, changed, is_back) = {
        let mut board = desk.board();
        let changed = std::mem::take(&mut board.backlog_changed);
        let is_back = std::mem::take(&mut board.broker_is_back);
        (board.pools().iter().cloned().collect::<Vec<_>>(), changed, is_back)
    };
    let now = Instant::now();
    let mut jobs = Vec::new();
    for name in names {
        let pool = pools.entry(name.clone()).or_default();
        if changed {
            pool.backlog.forget();
        }
        if !is_back && pool.not_before.is_some_and(|when| now < when) {
            continue;
        }
        pool.not_before = None;
        if desk.board().room(&name) == 0 {
            continue;
        }
        if pool.backlog.is_empty() {
            pool.backlog.refill(desk.ledger.unpublished(&name, CANDIDATES).await?);
        }
        if pool.backlog.is_empty() {
            continue;
        }
        if !pool.declared {
            // A job or runner named a pool that nobody has used before.
            pool.declared = topology::ensure_pools(desk, [name.clone()]).await?;
        }
        jobs.extend(reserve(desk, &name, &mut pool.backlog, unsendable));
    }
    publish(desk, pools, unsendable, jobs).await
}

/// Takes as many jobs as the window has room for, and counts them as afloat from now on.
fn reserve(desk: &Desk, pool: &PoolName, backlog: &mut Backlog, unsendable: &HashSet<JobId>) -> Vec<Job> {
    let mut board = desk.board();
    let room = board.room(pool);
    let mut jobs = Vec::new();
    while jobs.len() < room {
        let Some(Unpublished { job, .. }) = backlog.next() else { break };
        // What was read may be older than what has happened: confirmed and not marked yet, or claimed.
        let busy = board.afloat.has(job.id) || board.leases.has(job.id) || unsendable.contains(&job.id);
        if !busy {
            board.afloat.insert(job.id, pool.clone(), false);
            jobs.push(job);
        }
    }
    jobs
}

async fn publish(
    desk: &Arc<Desk>,
    pools: &mut HashMap<PoolName, Counter>,
    unsendable: &mut HashSet<JobId>,
    jobs: Vec<Job>,
) -> Result<bool, Halt> {
    let mut sent = Vec::with_capacity(jobs.len());
    let mut outgoing = Vec::with_capacity(jobs.len());
    for job in jobs {
        match pack(&job) {
            Ok(message) => {
                outgoing.push(message);
                sent.push((job.id, job.pool));
            }
            Err(cause) => {
                error!(job = %job.id, %cause, "a job cannot travel; cancel it");
                desk.board().afloat.land(job.id);
                unsendable.insert(job.id);
            }
        }
    }
    if sent.is_empty() {
        return Ok(false);
    }
    if planted(Defect::MarkedBeforeConfirm) {
        desk.mark(sent.iter().map(|(job, _)| *job).collect()).await;
    }
    let results = desk.broker.publish_all(outgoing).await;
    let mut confirmed = Vec::with_capacity(sent.len());
    let mut undeclared = HashSet::new();
    let mut failed: BTreeMap<PoolName, PublishError> = BTreeMap::new();
    for ((job, pool), result) in sent.into_iter().zip(results) {
        match result {
            Ok(()) => {
                debug!(%job, %pool, "job published");
                confirmed.push(job);
            }
            Err(cause) => {
                desk.board().afloat.land(job);
                if matches!(cause, PublishError::Unroutable { .. }) {
                    undeclared.insert(pool.clone());
                }
                failed.insert(pool, cause);
            }
        }
    }
    for (name, cause) in failed {
        let pool = pools.entry(name.clone()).or_default();
        // What was taken out of it and not published has to be read again.
        pool.backlog.forget();
        pool.declared &= !undeclared.contains(&name);
        pool.pause = (pool.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        pool.not_before = Some(Instant::now() + pool.pause);
        if pool.pause == FIRST_PAUSE {
            warn!(pool = %name, %cause, "jobs stay in the ledger for now");
        }
    }
    let any = !confirmed.is_empty();
    if any {
        for pool in pools.values_mut().filter(|pool| pool.not_before.is_none()) {
            pool.pause = Duration::ZERO;
        }
        desk.mark(confirmed).await;
    }
    Ok(any)
}

fn pack(job: &Job) -> Result<Outgoing, messages::Malformed> {
    let mut envelope = Envelope::of(job, job.message_id())?.answer_to("thump.results", job.id.to_string());
    // W3C trace context: all that happens for one build is one trace, each of its jobs one span.
    let (_, span) = job.id.0.as_u64_pair();
    envelope.traceparent = Some(format!("00-{}-{span:016x}-01", job.build.0.simple()));
    Ok(Outgoing::new(Exchange::Jobs, job.pool.as_str(), envelope))
}

/// Marks confirmed publications, unless the job was claimed meanwhile.
pub(crate) async fn mark(desk: Arc<Desk>, mut confirmed: mpsc::Receiver<Vec<JobId>>) -> Result<(), Halt> {
    loop {
        let mut jobs = tokio::select! {
            biased;
            () = desk.stop.cancelled() => break,
            jobs = confirmed.recv() => jobs.unwrap_or_default(),
        };
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => {}
            () = sleep(MARK_AFTER) => {}
        }
        while let Ok(more) = confirmed.try_recv() {
            jobs.extend(more);
        }
        mark_unclaimed(&desk, jobs).await?;
    }
    let mut rest = Vec::new();
    while let Ok(more) = confirmed.try_recv() {
        rest.extend(more);
    }
    mark_unclaimed(&desk, rest).await
}

async fn mark_unclaimed(desk: &Desk, mut jobs: Vec<JobId>) -> Result<(), Halt> {
    {
        let board = desk.board();
        jobs.retain(|job| board.afloat.has(*job));
    }
    if !jobs.is_empty() {
        desk.ledger.mark_published(desk.epoch, jobs.clone()).await?;
        desk.board().afloat.mark(&jobs);
    }
    Ok(())
}
