//! RabbitMQ over lapin.
//!
//! - `address.rs` where it is; `greeting.rs` which version it is
//! - `connect.rs` the supervisor, which alone writes `session.rs`: the connections of this moment
//! - `declare.rs` exchanges and queues
//! - `publish.rs` out (on the pool of `channels.rs`), `consume.rs` and `settle.rs` in, `request.rs` question and answer
//! - `properties.rs` envelopes on the wire
//!
//! Queues are not declared again behind a role's back after a reconnect, exchanges are: a queue that had
//! to be made anew has lost its messages, and only the caller of `ensure` knows what was in it. So it
//! calls it after every new [`Link::Up`]; consumers of a missing queue wait for it meanwhile.

mod address;
mod channels;
mod connect;
mod consume;
mod declare;
pub mod decoders;
mod greeting;
mod properties;
mod publish;
mod request;
mod session;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use messages::Envelope;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::error::{BrokerUrlError, ConsumeError, PublishError, RefusedError, RequestError};
use crate::{Consumer, Depth, Link, Listener, Outgoing, Queue, Role};
use address::Address;
use consume::Plan;
use publish::Publisher;
use request::{Asker, Replier};
use session::Shared;

/// How long one question to the broker about its topology may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// One role's end. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    end: Arc<End>,
}

/// What ends with the last clone. Consumers and deliveries do not keep it alive.
struct End {
    shared: Arc<Shared>,
    role: Role,
    publisher: Publisher,
    asker: Asker,
    replier: Replier,
    /// For passive declares; a missing queue closes it.
    meter: Mutex<Option<(u64, Channel)>>,
    tasks: TaskTracker,
}

impl Connection {
    pub(crate) fn open(url: &str, role: Role) -> Result<Self, BrokerUrlError> {
        let address = Address::parse(url)?;
        let shared = Arc::new(Shared::new());
        let tasks = TaskTracker::new();
        let (asker, asking) = Asker::new(Arc::clone(&shared));
        tasks.spawn(asking);
        tasks.spawn(connect::supervise(Arc::clone(&shared), address, role.clone()));
        let publisher = Publisher::new(Arc::clone(&shared));
        let replier = Replier::new(Arc::clone(&shared));
        Ok(Self { end: Arc::new(End { shared, role, publisher, asker, replier, meter: Mutex::new(None), tasks }) })
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.end.shared.link.subscribe()
    }

    pub(crate) async fn wait_until_up(&self) -> Result<(), RefusedError> {
        let shared = &self.end.shared;
        let (mut link, mut refused) = (shared.link.subscribe(), shared.refused.subscribe());
        tokio::select! {
            biased;
            // The link tells that it was closed; nothing was refused.
            () = shared.closing.cancelled() => Ok(()),
            _ = link.wait_for(Link::is_up) => Ok(()),
            refusal = refused.wait_for(Option::is_some) => match refusal.ok().and_then(|refusal| refusal.clone()) {
                Some(refusal) => Err(refusal),
                None => Ok(()),
            },
        }
    }

    pub(crate) async fn ensure(&self, queues: &[Queue]) -> Result<Vec<Queue>, ConsumeError> {
        if !self.end.role.declares_topology {
            let what = format!("declaring queues as {}", self.end.role.name);
            return Err(ConsumeError::Refused { what, why: "this role finds them there or waits for them".to_owned() });
        }
        let session = self.end.shared.session().map_err(|why| ConsumeError::Unreachable { why })?;
        in_time(async {
            declare::exchanges(&session).await?;
            declare::queues(&session, queues).await
        })
        .await
    }

    pub(crate) async fn publish_all(&self, outgoing: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        self.end.publisher.publish_all(&outgoing).await
    }

    pub(crate) fn consume(&self, queue: &Queue, prefetch: u16) -> Consumer {
        // Zero means "no limit" on the wire, and that is never what a role wants.
        self.start(Plan { spec: queue.spec(), prefetch: Some(prefetch.max(1)) })
    }

    pub(crate) fn listen(&self, listener: &Listener) -> Consumer {
        self.start(Plan { spec: listener.spec(), prefetch: None })
    }

    fn start(&self, plan: Plan) -> Consumer {
        let (consumer, task) = consume::start(Arc::clone(&self.end.shared), self.end.publisher.clone(), plan);
        self.end.tasks.spawn(task);
        consumer
    }

    pub(crate) async fn request(&self, question: Outgoing, patience: Duration) -> Result<Envelope, RequestError> {
        self.end.asker.request(question, patience).await
    }

    pub(crate) async fn reply(&self, question: &Envelope, answer: Envelope) -> Result<(), PublishError> {
        self.end.replier.reply(question, answer).await
    }

    pub(crate) async fn depth(&self, queue: &Queue) -> Result<Depth, ConsumeError> {
        let session = self.end.shared.session().map_err(|why| ConsumeError::Unreachable { why })?;
        let name = queue.name();
        in_time(async {
            let mut meter = self.end.meter.lock().await;
            let channel = match &*meter {
                Some((generation, channel)) if *generation == session.generation && channel.status().connected() => {
                    channel.clone()
                }
                _ => {
                    let channel = declare::open(&session.consume).await?;
                    *meter = Some((session.generation, channel.clone()));
                    channel
                }
            };
            let (ready, consumers) = declare::count(&channel, &name).await?;
            Ok(Depth { ready: ready.into(), consumers: consumers.into() })
        })
        .await
    }

    pub(crate) async fn close(&self) {
        self.end.shared.closing.cancel();
        self.end.tasks.close();
        self.end.tasks.wait().await;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

async fn in_time<T>(steps: impl Future<Output = Result<T, ConsumeError>>) -> Result<T, ConsumeError> {
    timeout(DEADLINE, steps).await.unwrap_or_else(|_| {
        let why = format!("no answer within {DEADLINE:?}");
        Err(ConsumeError::Unreachable { why })
    })
}
