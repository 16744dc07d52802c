//! The broker inside the process, in memory.
//!
//! It keeps the promises of the conformance suite and nothing across a restart: every end keeps what it said
//! until the ledger has it, so a second durable store could only disagree with the first. One lock,
//! never held over an await; messages are pushed to consumers when they are published, nothing polls.

mod queues;
mod routes;
mod settle;
mod state;
#[cfg(feature = "weather")]
pub(crate) mod weather;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::Envelope;
use tokio::sync::{mpsc, watch};

use crate::error::{ConsumeError, PublishError, RequestError};
use crate::{Backend, Broker, Consumer, Depth, Link, Listener, Outgoing, Queue, QueueSpec, Role};
use settle::Consuming;
use state::{ConnectionId, State, locked};

/// Room in a consumer's channel for what is no delivery: one `Resumed`, one `Interrupted`.
const SIGNALS: usize = 2;

/// The broker inside the process. Clones share the queues; they live as long as the last clone.
#[derive(Clone)]
pub struct Embedded {
    state: Arc<Mutex<State>>,
}

impl Embedded {
    /// An empty broker.
    #[expect(clippy::new_without_default, reason = "two brokers are never equal by default")]
    pub fn new() -> Self {
        Self { state: State::shared() }
    }

    /// A connection for one role. Ending it (drop of the last clone, or [`Broker::close`]) gives back
    /// what its consumers held, like the end of a client process.
    pub fn connect(&self, role: Role) -> Broker {
        let id = locked(&self.state, State::new_id);
        let state = Arc::clone(&self.state);
        let link = watch::Sender::new(Link::Up { generation: 1 });
        Broker { backend: Backend::Embedded(Connection { end: Arc::new(End { state, id, role, link }) }) }
    }

    /// Puts a message that nobody could have sent through [`Broker::publish`] where a stranger would.
    #[cfg(test)]
    pub(crate) fn inject(
        &self,
        exchange: crate::Exchange,
        key: &str,
        wrong: messages::Malformed,
        raw: Vec<u8>,
    ) -> Result<(), PublishError> {
        let content = Arc::new(queues::Content::Malformed(wrong, raw));
        locked(&self.state, |state| state.route(exchange, key, &content, None))
    }
}

/// One role's end of the broker.
#[derive(Clone)]
pub(crate) struct Connection {
    end: Arc<End>,
}

/// What ends with the last clone. Consumers do not keep it alive.
struct End {
    state: Arc<Mutex<State>>,
    id: ConnectionId,
    role: Role,
    link: watch::Sender<Link>,
}

impl Connection {
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.end.link.subscribe()
    }

    pub(crate) fn ensure(&self, queues: &[Queue]) -> Result<Vec<Queue>, ConsumeError> {
        self.open().map_err(|why| ConsumeError::Unreachable { why })?;
        if !self.end.role.declares_topology {
            let what = format!("declaring queues as {}", self.end.role.name);
            return Err(ConsumeError::Refused { what, why: "this role finds them there or waits for them".to_owned() });
        }
        Ok(locked(&self.end.state, |state| state.ensure(queues)))
    }

    pub(crate) fn publish_all(&self, outgoing: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        if let Err(why) = self.open() {
            return outgoing.iter().map(|_| Err(PublishError::Unreachable { why: why.clone() })).collect();
        }
        locked(&self.end.state, |state| outgoing.into_iter().map(|message| state.publish(message)).collect())
    }

    pub(crate) fn consume(&self, queue: &Queue, prefetch: u16) -> Consumer {
        // Zero means "no limit" on the wire, and that is never what a role wants.
        let prefetch = usize::from(prefetch.max(1));
        self.start_consumer(queue.spec(), Some(prefetch), prefetch)
    }

    pub(crate) fn listen(&self, listener: &Listener) -> Consumer {
        let spec = listener.spec();
        let room = spec.max_length as usize;
        self.start_consumer(spec, None, room)
    }

    fn start_consumer(&self, spec: QueueSpec, prefetch: Option<usize>, room: usize) -> Consumer {
        let (sender, events) = mpsc::channel(room + SIGNALS);
        let id = locked(&self.end.state, |state| {
            if self.open().is_ok() {
                state.consume(self.end.id, spec, prefetch, sender)
            } else {
                // Names no consumer; the sender is dropped, so the consumer has ended.
                state.new_id()
            }
        });
        Consumer { events, control: Box::new(Consuming { state: Arc::downgrade(&self.end.state), id }) }
    }

    pub(crate) async fn request(&self, question: Outgoing, patience: Duration) -> Result<Envelope, RequestError> {
        let (address, answer) = locked(&self.end.state, |state| state.ask(self.end.id));
        let asking = Asking { state: &self.end.state, address };
        let envelope = question.envelope.answer_to(asking.address.as_str(), asking.address.as_str());
        let sent = self.publish_all(vec![Outgoing { envelope, ..question }]);
        sent.into_iter().collect::<Result<(), _>>()?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(envelope)) => Ok(envelope),
            Ok(Err(_)) | Err(_) => Err(RequestError::Silence(patience)),
        }
    }

    pub(crate) fn reply(&self, question: &Envelope, mut answer: Envelope) -> Result<(), PublishError> {
        self.open().map_err(|why| PublishError::Unreachable { why })?;
        if let Some(address) = &question.reply_to {
            answer.correlation_id.clone_from(&question.correlation_id);
            locked(&self.end.state, |state| state.answer(address, answer));
        }
        Ok(())
    }

    pub(crate) fn depth(&self, queue: &Queue) -> Result<Depth, ConsumeError> {
        self.open().map_err(|why| ConsumeError::Unreachable { why })?;
        let name = queue.name();
        locked(&self.end.state, |state| state.depth(&name)).ok_or(ConsumeError::Missing { queue: name })
    }

    pub(crate) fn close(&self) {
        self.end.close();
    }

    /// Whether this end is open; if not, the reason in words.
    fn open(&self) -> Result<(), String> {
        match &*self.end.link.borrow() {
            Link::Down { why } => Err(why.clone()),
            Link::Up { .. } | Link::Blocked { .. } => Ok(()),
        }
    }
}

impl End {
    fn close(&self) {
        let why = "this connection was closed";
        locked(&self.state, |state| {
            // Under the lock, so that no consumer starts after the end.
            self.link.send_replace(Link::Down { why: why.to_owned() });
            state.end_connection(self.id, why);
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

/// One open question; forgotten when its future ends, however that is.
struct Asking<'a> {
    state: &'a Mutex<State>,
    address: String,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        locked(self.state, |state| state.forget_asker(&self.address));
    }
}
