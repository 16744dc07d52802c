//! Mends what the broker forgot without a word: a purged queue, a message that vanished.
//!
//! The decision is [`lost`]; it is slow on purpose. A copy too many is dropped at its claim, but a
//! dispatcher that doubts a slow broker must not flood it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Queue;
use messages::{JobId, PoolName};
use seams::{Defect, planted};
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
    let patience = desk.settings.ticks(desk.settings.reconcile_every / 2);
    let longest = desk.settings.ticks(LONGEST);
    let lost = {
        let board = desk.board();
        let waited = |job| board.afloat.ticks(job).filter(|_| !board.roster.holds(job));
        lost(&published, &ready, waited, (patience, longest))
    };
    if !lost.is_empty() && !planted(Defect::LostJobsUnnoticed) {
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
/// to be delivered and claimed; twice as much after each publication. That time is counted in own ticks
/// (`waited`; `None`: it is held): a clock on the wall that is set back would leave them lost until it has
/// caught up, and one that is set forward would flood the queue.
fn lost(
    published: &[Published],
    ready: &HashMap<PoolName, u64>,
    waited: impl Fn(JobId) -> Option<u32>,
    (patience, longest): (u32, u32),
) -> Vec<JobId> {
    let is_lost = |job: &&Published| {
        let doublings = job.publications.saturating_sub(1).min(16);
        let wait = patience.saturating_mul(1 << doublings).min(longest);
        ready.get(&job.pool) == Some(&0) && waited(job.job).is_some_and(|waited| waited >= wait)
    };
    published.iter().filter(is_lost).map(|job| job.job).collect()
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
