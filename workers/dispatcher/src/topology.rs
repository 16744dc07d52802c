//! Keeps exchanges and queues there, whoever deletes them or the broker's disk.
//!
//! The ledger is the truth and the broker transport: a queue that had to be made anew was empty, so
//! everything that was published into it is published again.

use std::sync::Arc;
use std::time::Duration;

use broker::{ConsumeError, Link, Queue};
use messages::PoolName;
use store::Unpublish;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::desk::Desk;
use crate::term::Halt;

/// Pause before the next try when the broker went away in the middle of one.
const PAUSE: Duration = Duration::from_millis(500);

/// Declares everything again after each reconnect; `declared` says whether the first connection is done.
pub(crate) async fn run(desk: Arc<Desk>, declared: bool) -> Result<(), Halt> {
    let mut link = desk.broker.link();
    let mut done = if declared { generation(&link.borrow_and_update()) } else { None };
    let mut was_blocked = false;
    loop {
        let (now, blocked) = {
            let link = link.borrow_and_update();
            (generation(&link), matches!(*link, Link::Blocked { .. }))
        };
        let mut again = false;
        let unblocked = std::mem::replace(&mut was_blocked, blocked) && !blocked;
        if now.is_some() && (now != done || unblocked) {
            // Whatever was said meanwhile could not be heard, and no tick could come back. An alarm that
            // goes on and off may let ticks through between two beats, so its end counts like a reconnect.
            desk.board().refresh();
            desk.settings.pulse.beats();
        }
        if now.is_some() && now != done {
            if ensure_all(&desk).await? {
                done = now;
            } else {
                again = true;
            }
        }
        if now.is_some() {
            desk.wake_publisher_from_its_pause();
        }
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            changed = link.changed() => changed.map_err(|_| Halt::Closed)?,
            () = sleep(PAUSE), if again => {}
        }
    }
}

fn generation(link: &Link) -> Option<u64> {
    match link {
        Link::Down { .. } => None,
        Link::Up { generation } | Link::Blocked { generation, .. } => Some(*generation),
    }
}

/// [`ensure_pools`] for every pool that is known.
pub(crate) async fn ensure_all(desk: &Arc<Desk>) -> Result<bool, Halt> {
    let pools = desk.board().pools().clone();
    ensure_pools(desk, pools).await
}

/// Makes sure that the common queues and those of `pools` are there. `false`: the broker is away.
pub(crate) async fn ensure_pools(desk: &Arc<Desk>, pools: impl IntoIterator<Item = PoolName>) -> Result<bool, Halt> {
    let mut queues = Queue::COMMON.to_vec();
    queues.extend(pools.into_iter().map(Queue::Jobs));
    let made = match desk.broker.ensure(&queues).await {
        Ok(made) => {
            queues.iter().for_each(|queue| said_once(desk, queue, None));
            made
        }
        Err(ConsumeError::Unreachable { why }) => {
            // The broker crate tells about the link itself.
            debug!(why, "queues are declared when the broker is back");
            return Ok(false);
        }
        Err(_) => one_by_one(desk, queues).await,
    };
    for queue in made {
        info!(queue = queue.name(), "queue made");
        if let Queue::Jobs(pool) = queue {
            publish_again(desk, pool).await?;
        }
    }
    Ok(true)
}

/// A queue that somebody else made differently must not keep the others away. It is said once, however often it
/// is tried, and once more when the queue can be used.
async fn one_by_one(desk: &Arc<Desk>, queues: Vec<Queue>) -> Vec<Queue> {
    let mut made = Vec::new();
    for queue in queues {
        match desk.broker.ensure(std::slice::from_ref(&queue)).await {
            Ok(new) => {
                made.extend(new);
                said_once(desk, &queue, None);
            }
            Err(cause @ ConsumeError::Unreachable { .. }) => debug!(%cause, "queues are not all declared"),
            Err(cause) => said_once(desk, &queue, Some(cause.to_string())),
        }
    }
    made
}

fn said_once(desk: &Desk, queue: &Queue, trouble: Option<String>) {
    let name = queue.name();
    let mut board = desk.board();
    let before = board.unusable.get(&name);
    if before == trouble.as_ref() {
        return;
    }
    match trouble {
        Some(cause) => {
            error!(
                queue = name,
                cause, "a queue cannot be used; delete it, and it is made again with everything in it"
            );
            board.unusable.insert(name, cause);
        }
        None => {
            info!(queue = name, "the queue can be used again");
            board.unusable.remove(&name);
        }
    }
}

/// The queue of `pool` was not there: whatever lay in it is gone.
async fn publish_again(desk: &Arc<Desk>, pool: PoolName) -> Result<(), Halt> {
    let count = desk.ledger.mark_unpublished(desk.epoch, Unpublish::Pool(pool.clone())).await?;
    desk.board().afloat.lose(&pool);
    if count > 0 {
        warn!(%pool, jobs = count, "the queue was lost; its jobs are published again");
        desk.wake_publisher_for_new_jobs();
    }
    Ok(())
}
