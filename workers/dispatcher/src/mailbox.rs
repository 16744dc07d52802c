//! Takes what a queue has ready as one batch: the ledger commits it at once, and the acks follow.
//!
//! Never waits for a batch to fill up: the first message is handled at once, and what arrives while the
//! ledger commits it makes the next batch.

use broker::{Broker, Consumer, Delivery, Event, Queue};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::term::Halt;

pub(crate) struct Mailbox {
    consumer: Consumer,
    /// An event that ended a batch and was not a delivery.
    ahead: Option<Event>,
    most: usize,
}

/// What was in the mailbox.
pub(crate) enum Mail {
    /// At least one delivery, in the queue's order.
    Batch(Vec<Delivery>),
    /// Consuming (again); the cause of the break before, if there was one, has been logged.
    Resumed,
    /// The term ends: what is left stays in the queue.
    Stopped,
}

impl Mailbox {
    /// Consumes `queue`; `most` is the prefetch and the size of a batch.
    pub(crate) fn open(broker: &Broker, queue: Queue, most: u16) -> Self {
        Self { consumer: broker.consume(queue, most), ahead: None, most: usize::from(most) }
    }

    /// The next batch, or the end of the term. Safe to cancel: nothing is taken before it returns.
    pub(crate) async fn next(&mut self, stop: &CancellationToken) -> Result<Mail, Halt> {
        loop {
            let event = match self.ahead.take() {
                Some(event) => Some(event),
                None => tokio::select! {
                    biased;
                    () = stop.cancelled() => {
                        self.consumer.stop().await;
                        return Ok(Mail::Stopped);
                    }
                    event = self.consumer.next() => event,
                },
            };
            match event {
                None => return Err(Halt::Closed),
                Some(Event::Resumed) => return Ok(Mail::Resumed),
                // The broker crate logs it; the deliveries in hand are settled in vain and come again.
                Some(Event::Interrupted { .. }) => {}
                Some(Event::Delivery(first)) => return Ok(Mail::Batch(self.gather(first))),
            }
        }
    }

    fn gather(&mut self, first: Delivery) -> Vec<Delivery> {
        let mut batch = vec![first];
        while batch.len() < self.most {
            match self.consumer.next().now_or_never().flatten() {
                Some(Event::Delivery(delivery)) => batch.push(delivery),
                other => {
                    self.ahead = other;
                    break;
                }
            }
        }
        batch
    }
}

/// Acks a whole batch after its commit.
pub(crate) async fn ack_all(deliveries: impl IntoIterator<Item = Delivery>) {
    // A void ack is no fault: the message comes again, and everything here may come again.
    futures::future::join_all(deliveries.into_iter().map(Delivery::ack)).await;
}

/// Puts a message aside that can never be handled; the next one is handled as if nothing had been.
pub(crate) async fn put_aside(delivery: Delivery, why: &str) {
    tracing::warn!(key = delivery.key, why, "message put aside");
    if let Err(cause) = delivery.dead_letter(why).await {
        tracing::warn!(%cause, "it stays in its queue for now");
    }
}
