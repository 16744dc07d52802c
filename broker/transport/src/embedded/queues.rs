//! One queue: what waits in it, in which order, and who may have the next one.
//!
//! Every operation takes constant or logarithmic time, however long the queue and however many its
//! consumers. Must not know: connections, exchanges, channels.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use messages::{Envelope, Malformed};

use crate::{Death, Exchange, Overflow, QueueSpec};

pub(super) type QueueName = Arc<str>;
pub(super) type ConsumerId = u64;

/// A message as the broker keeps it.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) exchange: Exchange,
    pub(super) key: String,
    pub(super) content: Arc<Content>,
    /// How many times it came back.
    pub(super) returns: u32,
    pub(super) death: Option<Death>,
}

/// What was published.
pub(super) enum Content {
    Understood(Envelope),
    #[cfg_attr(not(test), expect(dead_code, reason = "inside the process only envelopes are sent; tests forge"))]
    Malformed(Malformed, Vec<u8>),
}

impl Content {
    pub(super) fn body(&self) -> &[u8] {
        match self {
            Self::Understood(envelope) => &envelope.body,
            Self::Malformed(_, raw) => raw,
        }
    }
}

/// The place of a message in its queue. A message that comes back takes its old place again.
pub(super) type Place = u64;

pub(super) struct QueueState {
    pub(super) spec: QueueSpec,
    waiting: BTreeMap<Place, Stored>,
    bytes: u64,
    next_place: Place,
    pub(super) consumers: u64,
    /// The consumers that may be given a message, the one who waits longest first. Each stands here once.
    ready: VecDeque<ConsumerId>,
}

impl QueueState {
    pub(super) fn new(spec: QueueSpec) -> Self {
        Self { spec, waiting: BTreeMap::new(), bytes: 0, next_place: 0, consumers: 0, ready: VecDeque::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Whether a publish has to be refused. Messages that are held do not count, as in RabbitMQ.
    pub(super) fn refuses(&self, bytes: usize) -> bool {
        self.spec.overflow == Overflow::RejectPublish && self.is_full(bytes)
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.len() >= u64::from(self.spec.max_length)
            || self.spec.max_bytes.is_some_and(|most| self.bytes + bytes as u64 > most)
    }

    /// Takes a new message at the end. The caller has asked [`QueueState::refuses`] if it has to.
    pub(super) fn push(&mut self, message: Stored) {
        if self.spec.overflow == Overflow::DropHead && self.is_full(message.content.body().len()) {
            self.take_first();
        }
        self.next_place += 1;
        self.put(self.next_place, message);
    }

    /// Takes a message back in its old place.
    pub(super) fn put(&mut self, place: Place, message: Stored) {
        self.bytes += message.content.body().len() as u64;
        self.waiting.insert(place, message);
    }

    /// The next message and the consumer that is to have it, if there are both.
    pub(super) fn next_pair(&mut self) -> Option<(ConsumerId, Place, Stored)> {
        if self.waiting.is_empty() {
            return None;
        }
        let consumer = self.ready.pop_front()?;
        let (place, message) = self.take_first()?;
        Some((consumer, place, message))
    }

    /// Everything that waits, in its order.
    #[cfg(feature = "weather")]
    pub(super) fn take_all(&mut self) -> Vec<Stored> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    fn take_first(&mut self) -> Option<(Place, Stored)> {
        let (place, message) = self.waiting.pop_first()?;
        self.bytes -= message.content.body().len() as u64;
        Some((place, message))
    }

    /// `consumer` has room again. It must not stand in the line already.
    pub(super) fn line_up(&mut self, consumer: ConsumerId) {
        self.ready.push_back(consumer);
    }

    /// `consumer` wants no more.
    pub(super) fn leave(&mut self, consumer: ConsumerId) {
        self.ready.retain(|other| *other != consumer);
    }
}
