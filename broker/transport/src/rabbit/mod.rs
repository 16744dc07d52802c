//! RabbitMQ over lapin.

use std::time::Duration;

use messages::Envelope;
use tokio::sync::watch;

use crate::error::{BrokerUrlError, ConsumeError, PublishError, RefusedError, RequestError};
use crate::{Consumer, Depth, Link, Listener, Outgoing, Queue, Role};

#[derive(Clone)]
pub(crate) struct Connection {}

impl Connection {
    pub(crate) fn open(_url: &str, _role: Role) -> Result<Self, BrokerUrlError> {
        todo!()
    }
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        todo!()
    }
    pub(crate) async fn wait_until_up(&self) -> Result<(), RefusedError> {
        todo!()
    }
    pub(crate) async fn ensure(&self, _queues: &[Queue]) -> Result<Vec<Queue>, ConsumeError> {
        todo!()
    }
    pub(crate) async fn publish_all(&self, _outgoing: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
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
    pub(crate) async fn reply(&self, _question: &Envelope, _answer: Envelope) -> Result<(), PublishError> {
        todo!()
    }
    pub(crate) async fn depth(&self, _queue: &Queue) -> Result<Depth, ConsumeError> {
        todo!()
    }
    pub(crate) async fn close(&self) {
        todo!()
    }
}
