//! Mends what the broker forgot without a word: a purged queue, a message that vanished.
//!
//! The decision is [`lost`]; it is slow on purpose. A copy too many is dropped at its claim, but a
//! dispatcher that doubts a slow broker must not flood it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Queue;
use jiff::Timestamp;
use messages::{JobId, PoolName};
use store::{Published, Unpublish};
use tracing::{debug, warn};

use crate::desk::Desk;
use crate::term::Halt;
use crate::{cancel, topology};

/// The longest wait between two publications of the same job.
const LONGEST: Duration = Duration::from_secs(300);

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    loop {
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            () = desk.reconcile_bell() => {}
        }
        reconcile(&desk).await?;
    }
}

async fn reconcile(desk: &Arc<Desk>) -> Result<(), Halt> {
    let pools = desk.ledger.pools_with_work().await?;
    {
        let mut board = desk.board();
        pools.iter().for_each(|pool| board.add_pool(pool));
    }
    if !topology::ensure_all(desk).await? {
        return Ok(());
    }
    cancel::look(desk).await?;
    desk.board().afloat.begin_review();
    let published = desk.ledger.published().await?;
    desk.board().afloat.end_review(published.iter().map(|p| (p.job, p.pool.clone())));
    let ready = measure(desk, &published).await;
    let patience = desk.settings.reconcile_every / 2;
    let lost = {
        let board = desk.board();
        let is_held = |job| board.roster.holds(job) || !board.afloat.has(job);
        lost(&published, &ready, is_held, Timestamp::now(), patience)
    };
    if !lost.is_empty() {
        warn!(jobs = lost.len(), "published jobs are in no queue; they are published again");
        desk.ledger.mark_unpublished(desk.epoch, Unpublish::Jobs(lost.clone())).await?;
        let mut board = desk.board();
        lost.iter().for_each(|job| board.afloat.land(*job));
    }
    desk.wake_publisher_for_new_jobs();
    Ok(())
}

/// How many messages wait in the queues of the pools that should have some.
async fn measure(desk: &Desk, published: &[Published]) -> HashMap<PoolName, u64> {
    let mut ready = HashMap::new();
    for Published { pool, .. } in published {
        if ready.contains_key(pool) {
            continue;
        }
        match desk.broker.depth(&Queue::Jobs(pool.clone())).await {
            Ok(depth) => drop(ready.insert(pool.clone(), depth.ready)),
            // Nothing is concluded from what cannot be seen.
            Err(cause) => debug!(%pool, %cause, "cannot measure the queue"),
        }
    }
    ready
}

/// Which published jobs the broker has lost: their queue is empty, nobody holds them, and they had time
/// to be delivered and claimed; twice as much after each publication.
fn lost(
    published: &[Published],
    ready: &HashMap<PoolName, u64>,
    is_held: impl Fn(JobId) -> bool,
    now: Timestamp,
    patience: Duration,
) -> Vec<JobId> {
    let is_lost = |job: &&Published| {
        let doublings = job.publications.saturating_sub(1).min(16);
        let wait = patience.saturating_mul(1 << doublings).min(LONGEST);
        // A clock that was set back makes this negative: then it waits, and never floods.
        let since = Duration::try_from(now.duration_since(job.published_at)).unwrap_or_default();
        ready.get(&job.pool) == Some(&0) && since >= wait && !is_held(job.job)
    };
    published.iter().filter(is_lost).map(|job| job.job).collect()
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
