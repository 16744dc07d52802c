//! The anchor of the queue path: three processes and three hops, commit to job to result.
//!
//! Quorum queues, persistent, mandatory, confirmed; publishes are pipelined, a message is acked after
//! the confirm of what followed from it, many at a time. No claims, no ledger: what is left is the
//! least that any such path costs on this broker and this machine.

use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use tokio::sync::mpsc;

use crate::helper::{now, say};

const COMMITS: &str = "plain.commits";
const JOBS: &str = "plain.jobs";
const RESULTS: &str = "plain.results";
/// Unacked deliveries per consumer, and confirms under way per publisher.
const PREFETCH: u16 = 512;
/// About as long as Thump's own messages.
const BODY_BYTES: usize = 600;
/// How often the end of the path says how far it is.
const EVERY: u64 = 50;

async fn connect(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.expect("a connection")
}

async fn publishing(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    channel
}

async fn consuming(connection: &Connection, queue: &str) -> lapin::Consumer {
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("a prefetch");
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.expect("a consumer")
}

async fn publish(channel: &Channel, queue: &str, body: &[u8]) -> PublisherConfirm {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    channel.basic_publish("".into(), queue.into(), options, body, persistent).await.expect("sent")
}

async fn confirmed(confirm: PublisherConfirm) {
    let confirmation = confirm.await.expect("a confirm");
    assert!(matches!(confirmation, Confirmation::Ack(None)), "not queued: {confirmation:?}");
}

async fn ack_up_to(acker: &Acker) {
    let done = acker.ack(BasicAckOptions { multiple: true }).await.expect("acked");
    assert!(done, "the channel has ended");
}

/// Declares what the three share.
pub(crate) async fn declare(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.expect("a channel");
    for queue in [COMMITS, JOBS, RESULTS] {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.expect("a queue");
    }
    connection.close(200, "".into()).await.expect("closed");
}

/// The first process: publishes commits.
pub(crate) struct Source {
    _connection: Connection,
    channel: Channel,
}

impl Source {
    pub(crate) async fn open(url: &str) -> Self {
        let connection = connect(url).await;
        let channel = publishing(&connection).await;
        Self { _connection: connection, channel }
    }

    /// Publishes as many, with confirms under way.
    pub(crate) async fn publish(&self, count: u64) {
        let (confirms, mut waiting) = mpsc::channel::<PublisherConfirm>(usize::from(PREFETCH));
        let wait = async {
            while let Some(confirm) = waiting.recv().await {
                confirmed(confirm).await;
            }
        };
        let send = async move {
            for number in 0..count {
                let confirm = publish(&self.channel, COMMITS, &body(number)).await;
                confirms.send(confirm).await.expect("somebody waits");
            }
        };
        tokio::join!(send, wait);
    }

    /// Publishes one and returns when that began.
    pub(crate) async fn ping(&self, number: u64) -> u64 {
        let begun = now();
        confirmed(publish(&self.channel, COMMITS, &body(number)).await).await;
        begun
    }
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(BODY_BYTES, b'x');
    body
}

fn number(delivery: &Delivery) -> u64 {
    delivery.data.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Publishes a message for each one that comes, and acks it when that is confirmed.
async fn forward(mut from: lapin::Consumer, channel: Channel, to: &str, seen: impl Fn(&Delivery)) {
    let (sent, mut waiting) = mpsc::channel::<(Acker, PublisherConfirm)>(usize::from(PREFETCH));
    let acks = async {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, usize::from(PREFETCH)).await > 0 {
            let mut last = None;
            for (acker, confirm) in batch.drain(..) {
                confirmed(confirm).await;
                last = Some(acker);
            }
            if let Some(acker) = last {
                ack_up_to(&acker).await;
            }
        }
    };
    let sends = async move {
        while let Some(delivery) = from.next().await {
            let delivery = delivery.expect("a delivery");
            seen(&delivery);
            let confirm = publish(&channel, to, &delivery.data).await;
            sent.send((delivery.acker, confirm)).await.expect("somebody acks");
        }
    };
    tokio::join!(sends, acks);
}

/// The second process: commit to job, and the end of the path.
pub(crate) async fn dispatch(url: &str) {
    let connection = connect(url).await;
    let (commits, jobs) = (consuming(&connection, COMMITS).await, publishing(&connection).await);
    let mut results = consuming(&connection, RESULTS).await;
    let collect = async {
        let mut count = 0;
        while let Some(first) = results.next().await {
            let mut last = first.expect("a delivery");
            count += 1;
            while let Some(Some(next)) = results.next().now_or_never() {
                last = next.expect("a delivery");
                count += 1;
                if count % EVERY == 0 {
                    say("recorded", &count.to_string(), now());
                }
            }
            ack_up_to(&last.acker).await;
            say("recorded", &count.to_string(), now());
        }
    };
    say("ready", "-", now());
    tokio::join!(forward(commits, jobs, JOBS, |_| {}), collect);
}

/// The third process: job to result. `tells`: says when it has each job, which costs something.
pub(crate) async fn run(url: &str, tells: bool) {
    let connection = connect(url).await;
    let (jobs, results) = (consuming(&connection, JOBS).await, publishing(&connection).await);
    say("ready", "-", now());
    let started = |job: &Delivery| {
        if tells {
            say("started", &number(job).to_string(), now());
        }
    };
    forward(jobs, results, RESULTS, started).await;
}
