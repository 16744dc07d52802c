//! Publishes dead letters again that people want replayed, and says so in the ledger once they lie in a queue.
//!
//! Page and API only write the order; this carries it out, as leader, so two dispatchers never both do. A crash
//! between confirm and mark publishes once more, under the same message id, which every receiver bears.

use std::sync::Arc;
use std::time::Duration;

use broker::{Exchange, Outgoing, PublishError};
use messages::Envelope;
use store::DeadLetterView;
use store::parking::Replayed;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::desk::Desk;
use crate::term::Halt;

/// The least time between two looks at a busy ledger.
const BREATH: Duration = Duration::from_millis(100);
/// How long until another try, and until orders are seen that came through another process.
const AGAIN: Duration = Duration::from_secs(5);
const BATCH: u32 = 16;

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut changes = desk.ledger.changes();
    loop {
        changes.borrow_and_update();
        for letter in desk.ledger.letters_to_replay(BATCH).await? {
            replay(&desk, letter).await?;
        }
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            () = sleep(BREATH) => {}
        }
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            changed = changes.changed() => changed.map_err(|_| Halt::LedgerClosed)?,
            () = sleep(AGAIN) => {}
        }
    }
}

async fn replay(desk: &Desk, view: DeadLetterView) -> Result<(), Halt> {
    let number = view.number;
    let before = view.note.clone();
    let outcome = match pack(view) {
        Ok(message) => {
            let published = tokio::select! {
                biased;
                () = desk.stop.cancelled() => return Ok(()),
                published = desk.broker.publish(message) => published,
            };
            match published {
                Ok(()) => Replayed::Done,
                Err(cause @ PublishError::Refused { .. }) => Replayed::Refused(cause.to_string()),
                Err(cause) => Replayed::Waits(cause.to_string()),
            }
        }
        Err(why) => Replayed::Refused(why),
    };
    match &outcome {
        Replayed::Done => info!(number, "dead letter replayed"),
        // Told once; the ledger has it already.
        Replayed::Waits(why) if before.as_ref() == Some(why) => return Ok(()),
        Replayed::Waits(why) | Replayed::Refused(why) => warn!(number, why, "dead letter not replayed"),
    }
    desk.ledger.letter_replayed(desk.epoch, number, outcome).await?;
    Ok(())
}

fn pack(view: DeadLetterView) -> Result<Outgoing, String> {
    let DeadLetterView { letter, .. } = view;
    let (Some(name), Some(head)) = (letter.exchange, letter.head) else {
        return Err("it says neither what it is nor where it was sent".to_owned());
    };
    let known = Exchange::ALL.into_iter().find(|exchange| exchange.name() == name);
    // What was said to one life of a runner means nothing to another one.
    let exchange = known.filter(|exchange| !matches!(exchange, Exchange::Dead | Exchange::Control));
    let exchange = exchange.ok_or_else(|| format!("nothing is replayed to {name:?}"))?;
    let id = head.id.parse().map_err(|cause| format!("its id: {cause}"))?;
    let mut envelope = Envelope::raw(&head.kind, id, letter.body).map_err(|cause| cause.to_string())?;
    envelope.version = head.version;
    envelope.traceparent = head.traceparent;
    envelope.reply_to = head.reply_to;
    envelope.correlation_id = head.correlation_id;
    Ok(Outgoing::new(exchange, letter.key, envelope))
}
