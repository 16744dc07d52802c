//! Moves what was put aside from `thump.dead` into the ledger, where people see it and can replay it.

use std::sync::Arc;

use broker::{Death, Delivery, Queue};
use store::{LedgerError, NewDeadLetter};
use tracing::{error, warn};

use crate::desk::Desk;
use crate::mailbox::{Mail, Mailbox, ack_all};
use crate::term::Halt;

const BATCH: u16 = 16;
/// How much of a body is kept ([`NewDeadLetter::body`]).
const MAX_BODY: usize = 64 * 1024;

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut mailbox = Mailbox::open(&desk.broker, Queue::Dead, BATCH);
    loop {
        match mailbox.next(&desk.stop).await? {
            Mail::Stopped => return Ok(()),
            Mail::Resumed => {}
            Mail::Batch(batch) => {
                for delivery in batch {
                    keep(&desk, delivery).await?;
                }
            }
        }
    }
}

async fn keep(desk: &Desk, delivery: Delivery) -> Result<(), Halt> {
    let Death { queue, reason } = delivery
        .death
        .clone()
        .unwrap_or_else(|| Death { queue: "unknown".to_owned(), reason: "put aside without a reason".to_owned() });
    warn!(queue, reason, key = delivery.key, "dead letter");
    let body = delivery.raw[..delivery.raw.len().min(MAX_BODY)].to_vec();
    let letter = NewDeadLetter { queue, reason, key: delivery.key.clone(), body };
    match desk.ledger.record_dead_letter(desk.epoch, letter).await {
        Ok(()) => {}
        // There is nowhere else to put it, and it must not come back for ever.
        Err(cause @ LedgerError::Inconsistent { .. }) => error!(%cause, "a dead letter could not be kept"),
        Err(cause) => return Err(cause.into()),
    }
    ack_all([delivery]).await;
    Ok(())
}
