//! One delivery: what it carries, and what becomes of it.
//!
//! Settled only through its own acker, whose answer counts: `false` means that the channel has ended
//! and the message will come again. Must not know: how consumers are built.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::{Acker, BasicProperties};

use super::properties::{death, decode, put_aside};
use super::publish::{Parcel, Publisher};
use crate::consumer::{How, Settle};
use crate::error::{PublishError, SettleError};
use crate::{Death, Delivery, Exchange, QueueSpec, Settled};

/// Where a consumer's deliveries come from, and where they go when they are put aside.
pub(super) struct Source {
    publisher: Publisher,
    queue: String,
    key: String,
    /// Whether the broker puts a rejected message aside by itself.
    rejects_are_kept: bool,
}

impl Source {
    pub(super) fn new(publisher: Publisher, spec: &QueueSpec) -> Self {
        let rejects_are_kept = spec.dead_letter_key.is_some();
        Self { publisher, queue: spec.name.clone(), key: spec.put_aside_key().to_owned(), rejects_are_kept }
    }
}

/// What a role gets. Without a source it needs no ack.
pub(super) fn delivery(given: lapin::message::Delivery, source: Option<&Arc<Source>>) -> Delivery {
    let lapin::message::Delivery { properties, data, acker, routing_key, redelivered, .. } = given;
    let envelope = decode(&properties, &data);
    let death = death(&properties);
    let (raw, settle) = match source {
        None => (data, None),
        Some(source) => {
            let hold = Hold { acker, properties, body: data.clone(), source: Arc::clone(source) };
            (data, Some(Box::new(hold) as Box<dyn Settle>))
        }
    };
    Delivery { envelope, raw, key: routing_key.into(), redelivered, death, settle }
}

struct Hold {
    acker: Acker,
    properties: BasicProperties,
    body: Vec<u8>,
    source: Arc<Source>,
}

impl Settle for Hold {
    fn settle(self: Box<Self>, how: How) -> BoxFuture<'static, Result<Settled, SettleError>> {
        async move {
            match how {
                How::Ack => Ok(self.ack().await),
                How::Requeue => Ok(self.requeue().await),
                How::DeadLetter { reason } => self.dead_letter(reason).await,
            }
        }
        .boxed()
    }
}

impl Hold {
    async fn ack(&self) -> Settled {
        settled(&self.acker.ack(BasicAckOptions::default()).await)
    }

    async fn requeue(&self) -> Settled {
        settled(&self.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await)
    }

    /// First the copy in the dead queue, confirmed, then the ack: at worst there are two copies.
    async fn dead_letter(&self, reason: String) -> Result<Settled, SettleError> {
        if !self.acker.usable() {
            return Ok(Settled::Void);
        }
        let death = Death { queue: self.source.queue.clone(), reason };
        let parcel = Parcel {
            exchange: Exchange::Dead.name(),
            key: &self.source.key,
            body: &self.body,
            properties: put_aside(&self.properties, &death),
            id: None,
        };
        match self.source.publisher.publish_window(vec![Ok(parcel)]).await.pop() {
            Some(Ok(())) => Ok(self.ack().await),
            // A role without the right to publish there leaves it to the broker, whose word is "rejected".
            Some(Err(PublishError::Refused { .. })) if self.source.rejects_are_kept => {
                tracing::warn!("put aside by the broker, for this user may not: {}", death.reason);
                Ok(settled(&self.acker.reject(BasicRejectOptions { requeue: false }).await))
            }
            Some(Err(error)) => {
                self.requeue().await;
                Err(error.into())
            }
            None => Ok(self.requeue().await),
        }
    }
}

fn settled(answer: &lapin::Result<bool>) -> Settled {
    match answer {
        Ok(true) => Settled::Done,
        Ok(false) | Err(_) => Settled::Void,
    }
}
