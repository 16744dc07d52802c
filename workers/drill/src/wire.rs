//! Mischief on the broker itself: emptied and deleted queues, messages sent again, messages that nobody can read.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use proof::Kind;
use rand::RngExt;

use crate::watch::Book;

/// Where copies of all messages go, the oldest out first.
const TAP: &str = "chaos.tap";
const TAPPED: i64 = 400;
const EXCHANGES: [(&str, &str); 5] = [
    ("thump.commits", "#"),
    ("thump.jobs", "default"),
    ("thump.results", "#"),
    ("thump.control", "#"),
    ("thump.logs", "#"),
];
/// How long the broker may be away before a piece of mischief is given up.
const PATIENCE: Duration = Duration::from_secs(40);
const LIMIT: Duration = Duration::from_secs(10);

/// Does something on a channel of its own, however often the broker is away.
async fn on_channel<T, F>(url: &str, work: impl Fn(Channel) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let begun = Instant::now();
    loop {
        let attempt = async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            let answer = work(channel).await;
            drop(connection.close(200, "done".into()).await);
            answer
        };
        let cause = match tokio::time::timeout(LIMIT, attempt).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(cause)) => cause.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if begun.elapsed() > PATIENCE {
            bail!("the broker refuses: {cause}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Starts to keep copies for [`send_again`]. The exchanges must be there.
pub async fn tap(url: &str) -> Result<()> {
    on_channel(url, |channel| async move {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(TAPPED));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(TAP.into(), durable, arguments).await?;
        for (exchange, key) in EXCHANGES {
            let bind = QueueBindOptions::default();
            channel.queue_bind(TAP.into(), exchange.into(), key.into(), bind, FieldTable::default()).await?;
        }
        Ok(())
    })
    .await
}

/// Empties a queue.
///
/// # Errors
///
/// The broker refuses for too long.
pub async fn purge(url: &str, queue: &str) -> Result<String> {
    on_channel(url, |channel| async move {
        let gone = channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        Ok(format!("{gone} messages gone"))
    })
    .await
}

/// Deletes a queue.
///
/// # Errors
///
/// The broker refuses for too long.
pub async fn delete(url: &str, queue: &str) -> Result<String> {
    on_channel(url, |channel| async move {
        let gone = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        Ok(format!("{gone} messages gone"))
    })
    .await
}

/// Sends again what was sent before, exactly as it was: the oldest copies first, so that some are as stale as can be.
pub async fn send_again(url: &str, count: usize) -> Result<String> {
    on_channel(url, |channel| async move {
        let mut sent = 0;
        for _ in 0..count {
            let Some(message) = channel.basic_get(TAP.into(), BasicGetOptions::default()).await? else { break };
            let delivery = message.delivery;
            let options = BasicPublishOptions::default();
            let (exchange, key) = (delivery.exchange.clone(), delivery.routing_key.clone());
            let publish = channel.basic_publish(exchange, key, options, &delivery.data, delivery.properties.clone());
            publish.await?;
            delivery.acker.ack(BasicAckOptions::default()).await?;
            sent += 1;
        }
        Ok(format!("{sent} sent again"))
    })
    .await
}

/// Sends what nobody can read, everywhere.
///
/// # Errors
///
/// The broker refuses for too long.
pub async fn garbage(url: &str, count: usize) -> Result<String> {
    on_channel(url, |channel| async move {
        const KINDS: [&str; 7] = ["commit_seen", "job", "claim", "beat", "finished", "log_chunk", "tick"];
        const KEYS: [(&str, &str); 6] = [
            ("thump.commits", "app"),
            ("thump.jobs", "default"),
            ("thump.results", "claim.nobody"),
            ("thump.results", "beat.runner-0"),
            ("thump.results", "result.runner-1"),
            ("thump.logs", "runner-2"),
        ];
        for _ in 0..count {
            let (body, kind, (exchange, key)) = {
                let mut random = rand::rng();
                let length = random.random_range(0..300);
                let body: Vec<u8> = (0..length).map(|_| random.random()).collect();
                let body = if random.random() { body } else { b"{\"version\": 1, \"body\": {}}".to_vec() };
                (body, KINDS[random.random_range(0..KINDS.len())], KEYS[random.random_range(0..KEYS.len())])
            };
            let properties = BasicProperties::default().with_type(kind.into()).with_message_id("no-uuid".into());
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await?;
        }
        Ok(String::new())
    })
    .await
}

/// Looks whether the queues run empty when nothing is left to do.
pub async fn empty(url: &str, book: &Book) {
    for queue in ["thump.commits", "thump.jobs.default", "thump.results"] {
        let begun = Instant::now();
        loop {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let count = on_channel(url, |channel| async move {
                Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
            })
            .await;
            match count {
                Ok(0) => break,
                answer if begun.elapsed() > PATIENCE => {
                    book.add(Kind::Stuck, format!("{queue} does not run empty: {answer:?}"));
                    break;
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// Waits until each queue has so many consumers.
pub async fn consumed(url: &str, queues: &[(&str, u32)]) -> Result<()> {
    on_channel(url, |channel| async move {
        for (queue, consumers) in queues {
            loop {
                let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let state = channel.queue_declare((*queue).into(), passive, FieldTable::default()).await?;
                if state.consumer_count() >= *consumers {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    })
    .await
}

/// Waits until every queue that faults may have taken away is there again.
pub async fn all_there(url: &str) -> Result<()> {
    on_channel(url, |channel| async move {
        for queue in proof::faults::QUEUES {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        }
        Ok(())
    })
    .await
}
