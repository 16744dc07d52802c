//! The broker inside the process.

use std::time::Duration;

use messages::Envelope;
use tokio::sync::watch;

use crate::error::{ConsumeError, PublishError, RequestError};
use crate::{Broker, Consumer, Depth, Link, Listener, Outgoing, Queue, Role};

/// The broker inside the process. Clones share the queues; they live as long as the last clone.
#[derive(Clone)]
pub struct Embedded {}

impl Embedded {
    /// An empty broker.
    #[expect(clippy::new_without_default, reason = "two brokers are never equal by default")]
    pub fn new() -> Self {
        todo!()
    }

    /// A connection for one role. Ending it (drop of the last clone, or [`Broker::close`]) gives back
    /// what its consumers held, like the end of a client process.
    pub fn connect(&self, role: Role) -> Broker {
        let _ = role;
        todo!()
    }
}

#[derive(Clone)]
pub(crate) struct Connection {}

impl Connection {
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        todo!()
    }
    pub(crate) fn ensure(&self, _queues: &[Queue]) -> Vec<Queue> {
        todo!()
    }
    pub(crate) fn publish_all(&self, _outgoing: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        todo!()
    }
    pub(crate) fn consume(&self, _queue: Queue, _prefetch: u16) -> Consumer {
        todo!()
    }
    pub(crate) fn listen(&self, _listener: Listener) -> Consumer {
        todo!()
    }
    pub(crate) async fn request(&self, _question: Outgoing, _patience: Duration) -> Result<Envelope, RequestError> {
        todo!()
    }
    pub(crate) fn reply(&self, _question: &Envelope, _answer: Envelope) {
        todo!()
    }
    pub(crate) fn depth(&self, _queue: &Queue) -> Result<Depth, ConsumeError> {
        todo!()
    }
    pub(crate) fn close(&self) {
        todo!()
    }
}
