//! Moves what was put aside from `thump.dead` into the ledger, where people see it and can replay it.

use std::sync::Arc;

use broker::{Delivery, Queue};
use store::parking::LetterHead;
use store::{LedgerError, NewDeadLetter};
use tracing::{error, warn};

use crate::desk::Desk;
use crate::mailbox::{Mail, Mailbox, ack_all};
use crate::term::Halt;

const BATCH: u16 = 16;
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
    let letter = letter(&delivery);
    warn!(queue = letter.queue, reason = letter.reason, key = letter.key, "dead letter");
    match desk.ledger.record_dead_letter(desk.epoch, letter).await {
        Ok(()) => {}
        // There is nowhere else to put it, and it must not come back for ever.
        Err(cause @ LedgerError::Inconsistent { .. }) => error!(%cause, "a dead letter could not be kept"),
        Err(cause) => return Err(cause.into()),
    }
    ack_all([delivery]).await;
    Ok(())
}

fn letter(delivery: &Delivery) -> NewDeadLetter {
    let death = delivery.death.clone();
    let head = delivery.envelope.as_ref().ok().map(|envelope| LetterHead {
        version: envelope.version,
        kind: envelope.kind.clone(),
        id: envelope.id.to_string(),
        traceparent: envelope.traceparent.clone(),
        reply_to: envelope.reply_to.clone(),
        correlation_id: envelope.correlation_id.clone(),
    });
    let words = |given: Option<String>, otherwise: &str| given.unwrap_or_else(|| otherwise.to_owned());
    NewDeadLetter {
        queue: words(death.as_ref().map(|death| death.queue.clone()), "unknown"),
        reason: words(death.as_ref().map(|death| death.reason.clone()), "put aside without a reason"),
        exchange: death.as_ref().and_then(|death| death.exchange.clone()),
        key: words(death.as_ref().and_then(|death| death.key.clone()), &delivery.key),
        head,
        body: delivery.raw.clone(),
        deaths: death.map_or(1, |death| death.count),
        redelivered: delivery.redelivered,
    }
}
