//! The whole broker as one value behind one lock: connections, queues, consumers, what is held.
//!
//! Apart from the API beside it because here is every rule, and nothing here waits. A consumer's
//! channel has room for all that its prefetch allows, so handing over never blocks.

#[cfg(feature = "weather")]
mod harm;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use messages::{Envelope, MAX_BODY_BYTES, Malformed};
use seams::{Defect, planted};
use tokio::sync::{mpsc, oneshot};

use super::queues::{ConsumerId, Content, Place, QueueName, QueueState, Stored};
use super::routes::Routes;
use super::settle::Hold;
use crate::consumer::How;
use crate::error::{PublishError, SettleError};
use crate::{Binding, Death, Delivery, Depth, Event, Exchange, Outgoing, Queue, QueueSpec, Settled};

/// A reason is for people; the same cut as over RabbitMQ.
const LONGEST_REASON: usize = 1000;
/// AMQP 0-9-1, section 4.2.5.3.
const LONGEST_SHORT_STRING: usize = 255;

/// Names one unsettled delivery. Never used twice.
pub(super) type Tag = u64;
pub(super) type ConnectionId = u64;

pub(super) struct State {
    /// Itself, for the deliveries: they must find their way back and must not keep the broker alive.
    me: Weak<Mutex<State>>,
    exchanges_stand: bool,
    routes: Routes,
    queues: HashMap<QueueName, QueueState>,
    consumers: HashMap<ConsumerId, ConsumerState>,
    /// Consumers whose queue does not exist yet.
    waiting_for_queue: BTreeSet<ConsumerId>,
    held: HashMap<Tag, Held>,
    askers: HashMap<String, Asker>,
    last_id: u64,
}

struct ConsumerState {
    connection: ConnectionId,
    wants: QueueSpec,
    queue: QueueName,
    events: mpsc::Sender<Event>,
    /// How many it may hold; `None` needs no ack.
    prefetch: Option<usize>,
    holds: BTreeSet<Tag>,
    stopped: bool,
    /// Whether it stands in its queue's line.
    lined_up: bool,
}

struct Held {
    queue: QueueName,
    consumer: ConsumerId,
    place: Place,
    message: Stored,
}

struct Asker {
    connection: ConnectionId,
    answer: oneshot::Sender<Envelope>,
}

/// Runs `with` on the state. A panic elsewhere leaves a state whose every field is still valid.
pub(super) fn locked<T>(state: &Mutex<State>, with: impl FnOnce(&mut State) -> T) -> T {
    with(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

impl State {
    pub(super) fn shared() -> Arc<Mutex<Self>> {
        Arc::new_cyclic(|me| {
            Mutex::new(Self {
                me: me.clone(),
                exchanges_stand: false,
                routes: Routes::default(),
                queues: HashMap::new(),
                consumers: HashMap::new(),
                waiting_for_queue: BTreeSet::new(),
                held: HashMap::new(),
                askers: HashMap::new(),
                last_id: 0,
            })
        })
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn ensure(&mut self, queues: &[Queue]) -> Vec<Queue> {
        self.exchanges_stand = true;
        let mut created = Vec::new();
        for queue in queues {
            if self.declare(queue.spec()) {
                created.push(queue.clone());
            }
        }
        for consumer in self.waiting_for_queue.clone() {
            self.attach(consumer);
        }
        created
    }

    fn declare(&mut self, spec: QueueSpec) -> bool {
        let name: QueueName = spec.name.as_str().into();
        if self.queues.contains_key(&name) {
            return false;
        }
        for binding in &spec.bindings {
            self.routes.bind(binding, &name);
        }
        self.queues.insert(name, QueueState::new(spec));
        true
    }

    pub(super) fn publish(&mut self, outgoing: Outgoing) -> Result<(), PublishError> {
        let Outgoing { exchange, key, envelope } = outgoing;
        if let Err(why) = fits_the_wire(&key, &envelope) {
            return Err(PublishError::Refused { exchange: exchange.name().to_owned(), key, why });
        }
        self.route(exchange, &key, &Arc::new(Content::Understood(envelope)), None)
    }

    /// Puts a message into every queue that is bound for it, or into none.
    pub(super) fn route(
        &mut self,
        exchange: Exchange,
        key: &str,
        content: &Arc<Content>,
        death: Option<&Death>,
    ) -> Result<(), PublishError> {
        let names = self.routes.of(exchange, key);
        if names.is_empty() && !planted(Defect::NoMandatory) {
            return Err(PublishError::Unroutable { exchange: exchange.name().to_owned(), key: key.to_owned() });
        }
        let refuses = |name: &QueueName| self.queues.get(name).is_some_and(|queue| queue.refuses(content.body().len()));
        if names.iter().any(refuses) {
            return Err(PublishError::QueueFull { exchange: exchange.name().to_owned(), key: key.to_owned() });
        }
        for name in names {
            if let Some(queue) = self.queues.get_mut(&name) {
                let (key, content) = (key.to_owned(), Arc::clone(content));
                queue.push(Stored { exchange, key, content, returns: 0, death: death.cloned() });
            }
            self.hand_out(&name);
        }
        Ok(())
    }

    pub(super) fn consume(
        &mut self,
        connection: ConnectionId,
        wants: QueueSpec,
        prefetch: Option<usize>,
        events: mpsc::Sender<Event>,
    ) -> ConsumerId {
        let id = self.new_id();
        let queue = wants.name.as_str().into();
        let holds = BTreeSet::new();
        let consumer =
            ConsumerState { connection, wants, queue, events, prefetch, holds, stopped: false, lined_up: false };
        self.consumers.insert(id, consumer);
        self.waiting_for_queue.insert(id);
        self.attach(id);
        id
    }

    /// Begins to deliver to a consumer, if its queue exists or is one it may make.
    fn attach(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.get(&id) else { return };
        let name = consumer.queue.clone();
        if consumer.wants.exclusive && self.exchanges_stand {
            let spec = consumer.wants.clone();
            self.declare(spec);
        }
        let Some(queue) = self.queues.get_mut(&name) else { return };
        queue.consumers += 1;
        self.waiting_for_queue.remove(&id);
        if let Some(consumer) = self.consumers.get(&id) {
            // The channel has room for it; if the receiver is gone its drop is on the way here.
            consumer.events.try_send(Event::Resumed).ok();
        }
        self.line_up(id);
        self.hand_out(&name);
    }

    /// Lets a consumer have another message if its prefetch allows and it does not wait for one already.
    fn line_up(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let has_room = consumer.prefetch.is_none_or(|most| consumer.holds.len() < most);
        if !has_room || consumer.stopped || consumer.lined_up {
            return;
        }
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            queue.line_up(id);
            consumer.lined_up = true;
        }
    }

    /// Gives waiting messages to consumers in turn, until one of the two runs out.
    fn hand_out(&mut self, name: &QueueName) {
        while let Some((id, place, message)) = self.queues.get_mut(name).and_then(QueueState::next_pair) {
            let tag = self.new_id();
            let Some(consumer) = self.consumers.get_mut(&id) else {
                // Cannot be: who goes leaves the line. The message must not depend on it.
                if let Some(queue) = self.queues.get_mut(name) {
                    queue.put(place, message);
                }
                continue;
            };
            consumer.lined_up = false;
            let needs_ack = consumer.prefetch.is_some();
            let hold = needs_ack.then(|| Hold::new(self.me.clone(), tag));
            let event = Event::Delivery(delivery_of(&message, hold));
            if needs_ack {
                consumer.holds.insert(tag);
                self.held.insert(tag, Held { queue: name.clone(), consumer: id, place, message });
            }
            // With acks the channel holds the whole prefetch, so this fails only for a consumer whose drop
            // is on the way here and will give everything back. Without, a listener that does not listen
            // loses what it has no room for.
            if let Err(mpsc::error::TrySendError::Closed(Event::Delivery(mut unseen))) = consumer.events.try_send(event)
            {
                unseen.settle = None;
            }
            self.line_up(id);
        }
    }

    pub(super) fn settle(&mut self, tag: Tag, how: &How) -> Result<Settled, SettleError> {
        let Some(held) = self.held.remove(&tag) else { return Ok(Settled::Void) };
        let (name, id) = (held.queue.clone(), held.consumer);
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.holds.remove(&tag);
        }
        let outcome = match how {
            How::Ack => Ok(()),
            How::Requeue => {
                self.give_back(held);
                Ok(())
            }
            How::DeadLetter { reason } => {
                let outcome = self.put_aside(&held, reason);
                if outcome.is_err() {
                    self.give_back(held);
                }
                outcome
            }
        };
        self.line_up(id);
        self.hand_out(&name);
        outcome.map(|()| Settled::Done).map_err(SettleError::from)
    }

    /// Returns a message to its place; above the delivery limit it becomes a dead letter.
    fn give_back(&mut self, mut held: Held) {
        held.message.returns += 1;
        let Some(queue) = self.queues.get(&held.queue) else { return };
        let limit = queue.spec.delivery_limit.filter(|_| queue.spec.dead_letter_key.is_some());
        if limit.is_some_and(|limit| held.message.returns > limit) && self.put_aside(&held, "delivery_limit").is_ok() {
            return;
        }
        // A dead letter that finds no room stays where it is and tries again: at least once.
        if let Some(queue) = self.queues.get_mut(&held.queue) {
            queue.put(held.place, held.message);
        }
    }

    fn put_aside(&mut self, held: &Held, reason: &str) -> Result<(), PublishError> {
        let Some(queue) = self.queues.get(&held.queue) else { return Ok(()) };
        let key = queue.spec.put_aside_key().to_owned();
        let reason = reason.chars().take(LONGEST_REASON).collect();
        let death = Death {
            queue: held.queue.to_string(),
            reason,
            exchange: Some(held.message.exchange.name().to_owned()),
            key: Some(held.message.key.clone()),
            count: 1,
        };
        self.route(Exchange::Dead, &key, &held.message.content, Some(&death))
    }

    /// No more deliveries; what is held stays valid. An exclusive queue is gone with its consumer.
    pub(super) fn stop(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        if std::mem::replace(&mut consumer.stopped, true) {
            return;
        }
        consumer.lined_up = false;
        if self.waiting_for_queue.remove(&id) {
            return;
        }
        let (name, exclusive) = (consumer.queue.clone(), consumer.wants.exclusive);
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.consumers -= 1;
            queue.leave(id);
        }
        if exclusive {
            self.delete_if_unused(&name);
        }
    }

    /// The end of a consumer: what it held goes back.
    pub(super) fn end_consumer(&mut self, id: ConsumerId) {
        self.stop(id);
        let Some(consumer) = self.consumers.remove(&id) else { return };
        for tag in consumer.holds {
            if let Some(held) = self.held.remove(&tag) {
                self.give_back(held);
            }
        }
        self.hand_out(&consumer.queue);
    }

    fn delete_if_unused(&mut self, name: &QueueName) {
        if self.queues.get(name).is_none_or(|queue| queue.consumers > 0) {
            return;
        }
        if let Some(queue) = self.queues.remove(name) {
            let bindings: Vec<Binding> = queue.spec.bindings;
            for binding in &bindings {
                self.routes.unbind(binding, name);
            }
        }
    }

    /// The end of a connection, in order or not.
    pub(super) fn end_connection(&mut self, connection: ConnectionId, why: &str) {
        let of_it = |consumer: &ConsumerState| consumer.connection == connection;
        let mut ids: Vec<_> =
            self.consumers.iter().filter(|(_, consumer)| of_it(consumer)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        // None of them may be given what another one of them gives back.
        for id in &ids {
            self.stop(*id);
        }
        for id in ids {
            if let Some(consumer) = self.consumers.get(&id) {
                consumer.events.try_send(Event::Interrupted { why: why.to_owned() }).ok();
            }
            self.end_consumer(id);
        }
        self.askers.retain(|_, asker| asker.connection != connection);
    }

    pub(super) fn depth(&self, queue: &str) -> Option<Depth> {
        self.queues.get(queue).map(|queue| Depth { ready: queue.len(), consumers: queue.consumers })
    }

    /// Where the answer to one question goes.
    pub(super) fn ask(&mut self, connection: ConnectionId) -> (String, oneshot::Receiver<Envelope>) {
        let (answer, receiver) = oneshot::channel();
        let address = format!("answer-{}", self.new_id());
        self.askers.insert(address.clone(), Asker { connection, answer });
        (address, receiver)
    }

    pub(super) fn forget_asker(&mut self, address: &str) {
        self.askers.remove(address);
    }

    pub(super) fn answer(&mut self, address: &str, answer: Envelope) {
        if let Some(asker) = self.askers.remove(address) {
            // An asker that has just gone will ask again.
            asker.answer.send(answer).ok();
        }
    }
}

/// What could not travel over RabbitMQ does not travel here either: a role would learn it too late.
fn fits_the_wire(key: &str, envelope: &Envelope) -> Result<(), String> {
    if envelope.body.len() > MAX_BODY_BYTES {
        return Err(Malformed::TooLarge { bytes: envelope.body.len() }.to_string());
    }
    let fields = [
        ("routing key", Some(key)),
        ("kind", Some(envelope.kind.as_str())),
        ("reply address", envelope.reply_to.as_deref()),
        ("correlation id", envelope.correlation_id.as_deref()),
    ];
    for (what, text) in fields {
        if text.is_some_and(|text| text.len() > LONGEST_SHORT_STRING) {
            return Err(format!("its {what} is longer than {LONGEST_SHORT_STRING} bytes"));
        }
    }
    Ok(())
}

fn delivery_of(message: &Stored, hold: Option<Hold>) -> Delivery {
    let (envelope, raw) = match &*message.content {
        Content::Understood(envelope) => (Ok(envelope.clone()), envelope.body.clone()),
        Content::Malformed(wrong, raw) => (Err(wrong.clone()), raw.clone()),
    };
    Delivery {
        envelope,
        raw,
        key: message.key.clone(),
        redelivered: message.returns > 0,
        death: message.death.clone(),
        settle: hold.map(|hold| Box::new(hold) as _),
    }
}
