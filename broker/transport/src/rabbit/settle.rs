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
use super::session::Shared;
use crate::consumer::{How, Settle};
use crate::error::{PublishError, SettleError};
use crate::{Death, Delivery, Exchange, QueueSpec, Settled};

/// Where a consumer's deliveries come from, and where they go when they are put aside.
pub(super) struct Source {
    shared: Arc<Shared>,
    publisher: Publisher,
    queue: String,
    key: String,
    /// Whether the broker puts a rejected message aside by itself.
    rejects_are_kept: bool,
}

impl Source {
    pub(super) fn new(shared: Arc<Shared>, publisher: Publisher, spec: &QueueSpec) -> Self {
        let rejects_are_kept = spec.dead_letter_key.is_some();
        Self { shared, publisher, queue: spec.name.clone(), key: spec.put_aside_key().to_owned(), rejects_are_kept }
    }
}

/// What a role gets, from the session of this generation. Without a source it needs no ack.
pub(super) fn delivery(given: lapin::message::Delivery, generation: u64, source: Option<&Arc<Source>>) -> Delivery {
    let lapin::message::Delivery { properties, data, acker, routing_key, redelivered, exchange, .. } = given;
    let envelope = decode(&properties, &data);
    let death = death(&properties);
    let (raw, settle) = match source {
        None => (data, None),
        Some(source) => {
            let hold = Hold {
                acker,
                generation,
                properties,
                exchange: exchange.as_str().to_owned(),
                key: routing_key.as_str().to_owned(),
                body: data.clone(),
                source: Arc::clone(source),
            };
            (data, Some(Box::new(hold) as Box<dyn Settle>))
        }
    };
    Delivery { envelope, raw, key: routing_key.into(), redelivered, death, settle }
}

struct Hold {
    acker: Acker,
    generation: u64,
    properties: BasicProperties,
    exchange: String,
    key: String,
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
        self.settled(self.acker.ack(BasicAckOptions::default())).await
    }

    async fn requeue(&self) -> Settled {
        self.settled(self.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() })).await
    }

    /// lapin's answer, as long as there can be one. An order that reaches a connection between the end of its work and
    /// its own end stays in a queue that nobody reads and that lives as long as the acker: whoever waited for its answer
    /// would wait for ever.
    async fn settled(&self, answer: impl Future<Output = lapin::Result<bool>>) -> Settled {
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(true) => Settled::Done,
                Ok(false) | Err(_) => Settled::Void,
            },
            () = self.source.shared.replaced(self.generation) => Settled::Void,
        }
    }

    /// First the copy in the dead queue, confirmed, then the ack: at worst there are two copies.
    async fn dead_letter(&self, reason: String) -> Result<Settled, SettleError> {
        if !self.acker.usable() {
            return Ok(Settled::Void);
        }
        let death = Death {
            queue: self.source.queue.clone(),
            reason,
            exchange: Some(self.exchange.clone()),
            key: Some(self.key.clone()),
            count: 1,
        };
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
                Ok(self.settled(self.acker.reject(BasicRejectOptions { requeue: false })).await)
            }
            Some(Err(error)) => {
                self.requeue().await;
                Err(error.into())
            }
            None => Ok(self.requeue().await),
        }
    }
}
