//! The dispatcher's clock: a tick to itself, through the queue in which the beats lie.
//!
//! A tick counts when it comes back (`results`), so time advances only while everything before it has
//! been read, and stands still while the broker is away or takes nothing.

use std::sync::Arc;

use broker::{Exchange, Outgoing, PublishError, Topic};
use messages::{AttemptOrder, Envelope, MessageId, Order, Tick};
use seams::{Defect, planted};
use store::LossCause;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error, warn};

use crate::desk::Desk;
use crate::term::Halt;
use crate::{collect, probes, topology};

/// Ticks that were sent and did not come back, between two looks for the reply queue.
const LOOK_EVERY: u64 = 3;

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut pace = interval(desk.settings.tick_every);
    // After a freeze of the process, lost time is lost: no runner could be heard in it.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            _ = pace.tick() => {}
        }
        let tick = Tick { incarnation: desk.life, number };
        if planted(Defect::LeaseByTimer) {
            came_back(&desk, &tick).await?;
            continue;
        }
        let id = MessageId::of(&["tick", &desk.life.to_string(), &number.to_string()]);
        let envelope = match Envelope::of(&tick, id) {
            Ok(envelope) => envelope,
            Err(cause) => {
                error!(%cause, "a tick could not be packed");
                continue;
            }
        };
        let sent = tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            sent = desk.broker.publish(Outgoing::new(Exchange::Results, Topic::Tick.key(), envelope)) => sent,
        };
        match sent {
            // Somebody else may listen on the exchange: then a tick is routed whether the reply queue is there or not.
            Ok(()) if is_missing(desk.board().ticks_under_way(number)) => {
                topology::ensure_all(&desk).await?;
            }
            Ok(()) => {}
            // Somebody deleted the reply queue. Nothing that is counted by ticks could ever make it again.
            Err(PublishError::Unroutable { .. }) => {
                topology::ensure_all(&desk).await?;
            }
            Err(cause) => debug!(%cause, "no tick: leases stand still"),
        }
    }
    Ok(())
}

/// Whether so many ticks on their way are a reason to look for the reply queue: not each time, since it may only be long.
fn is_missing(under_way: u64) -> bool {
    under_way > 0 && under_way.is_multiple_of(LOOK_EVERY)
}

/// An own tick came back: everything that was sent before it has been read.
pub(crate) async fn came_back(desk: &Arc<Desk>, tick: &Tick) -> Result<(), Halt> {
    if tick.incarnation == desk.probes {
        return probes::came_back(desk, tick.number).await;
    }
    if tick.incarnation != desk.life {
        return Ok(());
    }
    desk.settings.pulse.beats();
    desk.board().caught_up = true;
    if tick.number == 0 {
        // Sent at once, to know what gathered before: no time has passed.
        return Ok(());
    }
    let Some(passed) = desk.board().pass_tick(tick.number) else { return Ok(()) };
    for (job, lease, runner_is_heard) in passed.ended {
        let (cause, detail) = if runner_is_heard {
            // It lives and does not have it: an answer was lost on the way, the job is not to blame.
            (LossCause::Infrastructure, format!("runner {} does not list it", lease.runner))
        } else {
            (lease.blame(), format!("runner {} was not heard for its whole lease", lease.runner))
        };
        collect::lose(desk, job, lease.attempt, cause, &detail).await?;
    }
    for runner in passed.gone {
        warn!(%runner, "runner not heard any more");
        desk.ledger.runner_gone(desk.epoch, &runner).await?;
        desk.wake_publisher();
    }
    for ((job, attempt), end, length) in passed.given_up {
        warn!(%job, %attempt, here = length, whole = end.length, "the log stays incomplete");
        desk.order(&end.runner, AttemptOrder { job, attempt, order: Order::Recorded, log_from: None });
    }
    if passed.reconcile {
        desk.wake_reconcile();
    }
    Ok(())
}
