//! What the cases say to a broker, in a few words.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use messages::{Envelope, Incarnation, MessageId, PoolName};

use super::{Client, Fixture};
use crate::{Broker, Consumer, Death, Delivery, Event, Exchange, Listener, Outgoing, Queue, Settled};

/// Longer than anything here takes on a busy machine; only a broken promise waits for its end.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at a condition that only the other side can tell.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(super) fn pool() -> PoolName {
    "linux".parse().expect("a pool name")
}

pub(super) fn jobs() -> Queue {
    Queue::Jobs(pool())
}

/// A client on a broker with all the usual queues and one pool.
pub(super) async fn with_topology(fixture: &impl Fixture) -> Client {
    let client = fixture.connect("dispatcher").await;
    let mut queues = Queue::COMMON.to_vec();
    queues.push(jobs());
    client.ensure(&queues).await.expect("topology");
    client
}

pub(super) fn envelope(text: &str) -> Envelope {
    Envelope::raw("test", MessageId::of(&[text]), text.as_bytes().to_vec()).expect("small")
}

/// A job that consists of its number.
pub(super) fn job(number: usize) -> Outgoing {
    Outgoing::new(Exchange::Jobs, pool().as_str(), envelope(&number.to_string()))
}

pub(super) async fn publish_jobs(broker: &Broker, numbers: std::ops::Range<usize>) {
    for answer in broker.publish_all(numbers.map(job).collect()).await {
        answer.expect("published");
    }
}

pub(super) fn text(delivery: &Delivery) -> String {
    let envelope = delivery.envelope.as_ref().expect("an envelope");
    String::from_utf8(envelope.body.clone()).expect("text")
}

/// A consumer that consumes: its first event was the right one.
pub(super) async fn consuming(broker: &Broker, queue: Queue, prefetch: u16) -> Consumer {
    let mut consumer = broker.consume(queue, prefetch);
    resumed(&mut consumer).await;
    consumer
}

/// A listener whose control queue stands.
pub(super) async fn listening(broker: &Broker, listener: Listener) -> Consumer {
    let mut consumer = broker.listen(listener);
    resumed(&mut consumer).await;
    consumer
}

pub(super) async fn resumed(consumer: &mut Consumer) {
    match event(consumer).await {
        Some(Event::Resumed) => {}
        other => panic!("expected to consume, got {other:?}"),
    }
}

pub(super) async fn event(consumer: &mut Consumer) -> Option<Event> {
    in_time("an event", consumer.next()).await
}

pub(super) async fn delivery(consumer: &mut Consumer) -> Delivery {
    match event(consumer).await {
        Some(Event::Delivery(delivery)) => delivery,
        other => panic!("expected a delivery, got {other:?}"),
    }
}

/// Takes and acks `count` messages.
pub(super) async fn drain(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let delivery = delivery(consumer).await;
        texts.push(text(&delivery));
        assert_eq!(delivery.ack().await, Settled::Done);
    }
    texts
}

/// Takes the only dead letter there is and acks it.
pub(super) async fn only_dead_letter(broker: &Broker) -> (Delivered, Death) {
    let mut dead = consuming(broker, Queue::Dead, 10).await;
    let letter = delivery(&mut dead).await;
    let death = letter.death.clone().expect("why it is here");
    let delivered = Delivered { key: letter.key.clone(), raw: letter.raw.clone() };
    assert_eq!(letter.ack().await, Settled::Done);
    assert!(nothing_more(&mut dead), "a dead letter arrived twice");
    dead.stop().await;
    eventually("no second dead letter", async || depth(broker, &Queue::Dead).await == (0, 0)).await;
    (delivered, death)
}

/// What is left of a delivery that is settled.
pub(super) struct Delivered {
    pub(super) key: String,
    pub(super) raw: Vec<u8>,
}

/// Whether the consumer has nothing to say right now.
pub(super) fn nothing_more(consumer: &mut Consumer) -> bool {
    consumer.next().now_or_never().is_none()
}

/// Ready messages and consumers.
pub(super) async fn depth(broker: &Broker, queue: &Queue) -> (u64, u64) {
    let depth = broker.depth(queue).await.expect("a depth");
    (depth.ready, depth.consumers)
}

pub(super) async fn ready(broker: &Broker, queue: &Queue, count: u64) {
    let what = format!("{count} ready messages in {}", queue.name());
    eventually(&what, async || depth(broker, queue).await.0 == count).await;
}

/// Looks until it is so.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    in_time(what, async {
        while !is_so().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain for {what}"),
    }
}

pub(super) fn runner(name: &str, pool: &str) -> Listener {
    Listener::Runner {
        name: name.parse().expect("a runner name"),
        incarnation: incarnation(name),
        pool: pool.parse().expect("a pool name"),
    }
}

pub(super) fn observer(name: &str) -> Listener {
    Listener::Observer { name: name.parse().expect("an observer name"), incarnation: incarnation(name) }
}

fn incarnation(of: &str) -> Incarnation {
    Incarnation(MessageId::of(&[of]).0)
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
