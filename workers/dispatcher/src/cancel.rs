//! Follows the ledger's changes: tells runners of cancelled attempts at once, and the publisher of jobs
//! that people brought back.
//!
//! A cancel is a flag in the ledger; what is sent here is only the edge of it. The beats' answers repeat
//! it, and copies of jobs that were cancelled in the queue are dropped when they are claimed.

use std::sync::Arc;
use std::time::Duration;

use broker::Topic;
use messages::CancelAttempt;
use tokio::time::sleep;
use tracing::info;

use crate::desk::Desk;
use crate::term::Halt;

/// The least time between two looks. Below what a person notices, and at full speed 20 looks a second
/// instead of one for each job.
const BREATH: Duration = Duration::from_millis(50);

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut changes = desk.ledger.changes();
    changes.mark_changed();
    let mut again = false;
    loop {
        if !again {
            tokio::select! {
                biased;
                () = desk.stop.cancelled() => return Ok(()),
                changed = changes.changed() => changed.map_err(|_| Halt::LedgerClosed)?,
            }
        }
        changes.borrow_and_update();
        again = look(&desk).await?;
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            () = sleep(BREATH) => {}
        }
    }
}

/// Returns whether there is a cancelled attempt whose claim is only just being answered.
pub(crate) async fn look(desk: &Desk) -> Result<bool, Halt> {
    let running = desk.ledger.running().await?;
    let (fresh, unknown) = desk.board().leases.mark_cancelling(&running);
    for (job, lease) in fresh {
        info!(%job, attempt = %lease.attempt, runner = %lease.runner, "cancelling");
        desk.send(&Topic::Runner(lease.runner), &CancelAttempt { job, attempt: lease.attempt });
    }
    // A retry, or jobs whose needs have passed.
    desk.wake_publisher_for_new_jobs();
    Ok(unknown)
}
