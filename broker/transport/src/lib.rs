//! Moves envelopes between the roles and knows no meaning.
//!
//! One small interface, two back-ends: RabbitMQ over AMQP 0-9-1 ([`Broker::rabbit`]) and one inside the
//! process ([`Embedded`]). What both promise is written down as a suite that both pass
//! (`conformance`). Must not know: what a job is, git, the ledger.
//!
//! The promises, in short:
//! - [`Broker::publish`] returns `Ok` only when the message lies in at least one queue and is safe there.
//! - A delivery that is not settled comes back, flagged redelivered, when its consumer, channel,
//!   connection or process ends.
//! - Every connection is rebuilt for ever by one supervisor; a consumer outlives all of that and says
//!   when what it handed out has become void ([`Event::Interrupted`]).

#[cfg(test)]
mod conformance;
mod consumer;
mod embedded;
mod error;
mod rabbit;
mod topology;

use std::time::Duration;

use messages::Envelope;
use tokio::sync::watch;

pub use consumer::{Consumer, Death, Delivery, Event, Settled};
pub use embedded::Embedded;
#[cfg(feature = "weather")]
pub use embedded::weather::{Climate, Hold, Seen, Weather};
pub use error::{BrokerUrlError, ConsumeError, PublishError, RefusedError, RequestError, SettleError};
pub use rabbit::decoders;
pub use topology::{
    Argument, Binding, DELIVERY_LIMIT, Exchange, ExchangeKind, Listener, Overflow, Queue, QueueKind, QueueSpec, Topic,
};

/// How long a publish may wait for its confirm before its fate counts as unknown.
pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(15);

/// One role's connection to the broker. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Broker {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Embedded(embedded::Connection),
    #[cfg(feature = "weather")]
    Weather(embedded::weather::Line),
    Rabbit(rabbit::Connection),
}

/// Who connects: shown in the broker's own lists, and what the role may do there.
#[derive(Debug, Clone)]
pub struct Role {
    /// For people, for example `runner north-1`.
    pub name: String,
    /// Whether this role declares exchanges and queues. Only the dispatcher does; everyone else finds
    /// them there or waits for them.
    pub declares_topology: bool,
}

/// What the connection is doing. Every change is also logged once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not connected; the supervisor is trying. The text says what is in the way, without secrets.
    Down {
        /// What the last try ended with.
        why: String,
    },
    /// Connected. The number counts connections of this process, from 1.
    Up {
        /// Which connection this is; deliveries of another one are void.
        generation: u64,
    },
    /// Connected, but the broker takes no publishes (`connection.blocked`: memory or disk alarm).
    Blocked {
        /// Which connection this is.
        generation: u64,
        /// The broker's reason.
        why: String,
    },
}

impl Link {
    /// Whether messages can be consumed and acked now.
    pub fn is_up(&self) -> bool {
        !matches!(self, Self::Down { .. })
    }
}

/// A message and where it goes.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The exchange; persistence follows from it.
    pub exchange: Exchange,
    /// The routing key.
    pub key: String,
    /// The message.
    pub envelope: Envelope,
}

impl Outgoing {
    /// A message for `exchange` under `key`.
    pub fn new(exchange: Exchange, key: impl Into<String>, envelope: Envelope) -> Self {
        Self { exchange, key: key.into(), envelope }
    }
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait and are held by nobody.
    pub ready: u64,
    /// Consumers on the queue. RabbitMQ counts one that was stopped for as long as it holds deliveries.
    pub consumers: u64,
}

impl Broker {
    /// Connects to RabbitMQ and keeps connecting for ever. Returns at once; [`Broker::link`] tells.
    ///
    /// `url` is `amqp://` or `amqps://user:password@host:port/vhost`.
    ///
    /// # Errors
    /// A URL that can never work. It is shown without its password.
    pub fn rabbit(url: &str, role: Role) -> Result<Self, BrokerUrlError> {
        Ok(Self { backend: Backend::Rabbit(rabbit::Connection::open(url, role)?) })
    }

    /// What the connection is doing now, and every change of it.
    pub fn link(&self) -> watch::Receiver<Link> {
        match &self.backend {
            Backend::Embedded(connection) => connection.link(),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.link(),
            Backend::Rabbit(connection) => connection.link(),
        }
    }

    /// Waits until the first connection stands.
    ///
    /// # Errors
    /// The broker is there and refuses for a reason that waiting does not mend: wrong password, missing
    /// virtual host, no right to it, a version below 3.10. After a first success such a refusal is
    /// only another [`Link::Down`], since passwords are changed under running processes.
    pub async fn wait_until_up(&self) -> Result<(), RefusedError> {
        match &self.backend {
            Backend::Embedded(_) => Ok(()),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.wait_until_up().await,
            Backend::Rabbit(connection) => connection.wait_until_up().await,
        }
    }

    /// Makes sure that every exchange and these queues exist, and returns those queues that did not:
    /// whatever was in them is gone. For the role that declares topology.
    ///
    /// # Errors
    /// The broker is away, or has a queue of that name with other arguments (one clear line; a retry
    /// helps only after somebody deleted it).
    pub async fn ensure(&self, queues: &[Queue]) -> Result<Vec<Queue>, ConsumeError> {
        match &self.backend {
            Backend::Embedded(connection) => connection.ensure(queues),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.ensure(queues).await,
            Backend::Rabbit(connection) => connection.ensure(queues).await,
        }
    }

    /// Publishes and waits until the message is safe in at least one queue (confirm and mandatory,
    /// AMQP 0-9-1 section 1.8.3.7 and RabbitMQ's confirms). Messages for [`Exchange::Control`] and
    /// [`Exchange::Logs`] are transient; all others survive a restart of the broker.
    ///
    /// # Errors
    /// See [`PublishError`]; after [`PublishError::Unknown`] publish again with the same id. A message
    /// that never fits (body above [`messages::MAX_BODY_BYTES`], a name above 255 bytes) is
    /// [`PublishError::Refused`], and only that one of a batch.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        let mut results = self.publish_all(vec![outgoing]).await;
        results.pop().unwrap_or(Err(PublishError::Unknown { why: "the broker crate gave no answer".into() }))
    }

    /// Publishes many at once; the answers stand in the order of the messages.
    pub async fn publish_all(&self, outgoing: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        match &self.backend {
            Backend::Embedded(connection) => connection.publish_all(outgoing),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.publish_all(outgoing).await,
            Backend::Rabbit(connection) => connection.publish_all(outgoing).await,
        }
    }

    /// Consumes `queue` with at most `prefetch` unsettled deliveries, until the [`Consumer`] is dropped.
    /// Never fails: what is in the way shows as [`Event::Interrupted`] and in [`Broker::link`].
    #[expect(clippy::needless_pass_by_value, reason = "a role names what it consumes once and keeps no copy")]
    pub fn consume(&self, queue: Queue, prefetch: u16) -> Consumer {
        match &self.backend {
            Backend::Embedded(connection) => connection.consume(&queue, prefetch),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.consume(&queue, prefetch),
            Backend::Rabbit(connection) => connection.consume(&queue, prefetch),
        }
    }

    /// Listens on an exclusive control queue of its own, which is gone when this process is. Deliveries
    /// need no ack. [`Event::Resumed`] says that the queue stands (again).
    #[expect(clippy::needless_pass_by_value, reason = "a role names what it consumes once and keeps no copy")]
    pub fn listen(&self, listener: Listener) -> Consumer {
        match &self.backend {
            Backend::Embedded(connection) => connection.listen(&listener),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.listen(&listener),
            Backend::Rabbit(connection) => connection.listen(&listener),
        }
    }

    /// Asks and waits for the answer (direct reply-to on RabbitMQ). At most once in either direction.
    ///
    /// # Errors
    /// See [`RequestError`]; a repeat of an idempotent question is always right.
    pub async fn request(&self, question: Outgoing, patience: Duration) -> Result<Envelope, RequestError> {
        match &self.backend {
            Backend::Embedded(connection) => connection.request(question, patience).await,
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.request(question, patience).await,
            Backend::Rabbit(connection) => connection.request(question, patience).await,
        }
    }

    /// Answers the sender of `question`. An asker that has gone is no error: it will ask again.
    ///
    /// # Errors
    /// The broker is away; the asker will ask again.
    pub async fn reply(&self, question: &Envelope, answer: Envelope) -> Result<(), PublishError> {
        match &self.backend {
            Backend::Embedded(connection) => connection.reply(question, answer),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.reply(question, answer).await,
            Backend::Rabbit(connection) => connection.reply(question, answer).await,
        }
    }

    /// How full a queue is now.
    ///
    /// # Errors
    /// The broker is away or the queue is missing.
    pub async fn depth(&self, queue: &Queue) -> Result<Depth, ConsumeError> {
        match &self.backend {
            Backend::Embedded(connection) => connection.depth(queue),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.depth(queue).await,
            Backend::Rabbit(connection) => connection.depth(queue).await,
        }
    }

    /// Closes the connection in order: consumers end, what they held comes back to its queue.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Embedded(connection) => connection.close(),
            #[cfg(feature = "weather")]
            Backend::Weather(line) => line.close(),
            Backend::Rabbit(connection) => connection.close().await,
        }
    }
}
