//! What a consumer sees: deliveries, and the moments at which they become void.
//!
//! Apart from both back-ends because a role must not be able to tell them apart.

use futures::future::BoxFuture;
use messages::{Envelope, Malformed};
use tokio::sync::mpsc;

use crate::error::SettleError;

/// Yields what a queue delivers, through every reconnect, until it is dropped or stopped.
///
/// Dropping it gives every delivery it has handed out and that is not settled back to the queue.
pub struct Consumer {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) control: Box<dyn ControlConsumer>,
}

/// One thing that happened to a consumer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a delivery, so a box would only cost")]
pub enum Event {
    /// A message. Settle it.
    Delivery(Delivery),
    /// Everything handed out and not settled is void: it was or will be delivered again.
    Interrupted {
        /// Connection lost, channel closed, consumer cancelled: the cause in words.
        why: String,
    },
    /// Consuming (again). The first event of every consumer.
    Resumed,
}

/// What became of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The broker was told.
    Done,
    /// The delivery had become void before: it will be delivered again.
    Void,
}

/// A message in hand. Dropped unsettled, it is requeued, and a warning is logged.
pub struct Delivery {
    /// The message, or what is wrong with it (then [`Delivery::raw`] has the bytes).
    pub envelope: Result<Envelope, Malformed>,
    /// The body as it came.
    pub raw: Vec<u8>,
    /// The routing key it was published with.
    pub key: String,
    /// Whether the broker says that it was delivered before.
    pub redelivered: bool,
    /// Why it was dead-lettered and from which queue, for messages of [`crate::Queue::Dead`].
    pub death: Option<Death>,
    pub(crate) settle: Option<Box<dyn Settle>>,
}

/// Why and where a message became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The queue it was in.
    pub queue: String,
    /// In our words if a role put it aside, else the broker's (`rejected`, `delivery_limit`, ...).
    pub reason: String,
    /// Where it was published, if that is known: a later replay goes there again.
    pub exchange: Option<String>,
    /// Under which key, if that is known.
    pub key: Option<String>,
    /// How many times the broker says that it died so; 1 if a role put it aside.
    pub count: u64,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("key", &self.key)
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// The next event; `None` only after [`Consumer::stop`] or when the connection was closed for good.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Takes no more deliveries. What was delivered and not yet handed out goes back to the queue;
    /// what was handed out stays valid until it is settled. Then [`Consumer::next`] yields `None`.
    pub async fn stop(&mut self) {
        self.control.stop().await;
        self.events.close();
        while let Some(event) = self.events.recv().await {
            if let Event::Delivery(delivery) = event {
                delivery.requeue().await;
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // What nobody has seen goes back with the consumer, whole and without a word in the log.
        self.events.close();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Delivery(mut delivery) = event {
                delivery.settle = None;
            }
        }
    }
}

impl Delivery {
    /// The work is done and durable: forget the message.
    pub async fn ack(self) -> Settled {
        self.settle_as(How::Ack).await.unwrap_or(Settled::Void)
    }

    /// For a planted defect only: the message is forgotten before its work is done.
    pub async fn ack_early(&mut self) {
        if let Some(settle) = self.settle.take() {
            drop(settle.settle(How::Ack).await);
        }
    }

    /// Puts it back in its place, for another consumer or a later try.
    pub async fn requeue(self) -> Settled {
        self.settle_as(How::Requeue).await.unwrap_or(Settled::Void)
    }

    /// Puts it aside in `thump.dead` with a reason, then acks it. One copy, never a loop.
    ///
    /// # Errors
    /// The dead letter could not be stored; the message goes back to its queue.
    pub async fn dead_letter(self, reason: &str) -> Result<Settled, SettleError> {
        self.settle_as(How::DeadLetter { reason: reason.to_owned() }).await
    }

    async fn settle_as(mut self, how: How) -> Result<Settled, SettleError> {
        match self.settle.take() {
            Some(settle) => settle.settle(how).await,
            None => Ok(Settled::Done),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(settle) = self.settle.take() else { return };
        tracing::warn!(key = %self.key, "a delivery was dropped before it was settled; it goes back to its queue");
        // Without a runtime the process is ending, and the end of the connection requeues as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(settle.settle(How::Requeue));
        }
    }
}

/// What to do with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    Ack,
    Requeue,
    DeadLetter { reason: String },
}

/// A back-end's hold on one delivery. Absent for control messages, which need no ack.
pub(crate) trait Settle: Send + Sync {
    fn settle(self: Box<Self>, how: How) -> BoxFuture<'static, Result<Settled, SettleError>>;
}

/// A back-end's hold on one consumer. Dropping it ends the consumer and returns what it holds.
pub(crate) trait ControlConsumer: Send + Sync {
    /// Asks the broker for no more deliveries; those handed out stay valid.
    fn stop(&self) -> BoxFuture<'_, ()>;
}
