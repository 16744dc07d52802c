//! Makes the topology exist, and measures it.
//!
//! Every check runs on a channel of its own that is dropped afterwards, because a missing queue closes
//! the channel that asked for it. The arguments come from `topology.rs`. Must not know: reconnecting.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};

use super::properties::short;
use super::session::{Session, code, words};
use crate::error::ConsumeError;
use crate::{Argument, Exchange, ExchangeKind, Queue, QueueSpec};

/// Reply codes of AMQP 0-9-1, section 1.1.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// Declares every exchange.
pub(super) async fn exchanges(session: &Session) -> Result<(), ConsumeError> {
    let channel = open(&session.consume).await?;
    for exchange in Exchange::ALL {
        let kind = match exchange.kind() {
            ExchangeKind::Direct => lapin::ExchangeKind::Direct,
            ExchangeKind::Topic => lapin::ExchangeKind::Topic,
        };
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange.name().into(), kind, options, FieldTable::default())
            .await
            .map_err(|error| explain(format!("the exchange {}", exchange.name()), &error))?;
    }
    Ok(())
}

/// Declares and binds the queues, and returns those that did not exist.
pub(super) async fn queues(session: &Session, queues: &[Queue]) -> Result<Vec<Queue>, ConsumeError> {
    let mut created = Vec::new();
    for queue in queues {
        let spec = queue.spec();
        let existed = count(&open(&session.consume).await?, &spec.name).await;
        match existed {
            Ok(_) => {}
            Err(ConsumeError::Missing { .. }) => created.push(queue.clone()),
            Err(error) => return Err(error),
        }
        queue_with_bindings(&open(&session.consume).await?, &spec).await?;
    }
    Ok(created)
}

/// Declares and binds one queue. It counts as missing as long as an exchange is.
pub(super) async fn queue_with_bindings(channel: &Channel, spec: &QueueSpec) -> Result<(), ConsumeError> {
    let what = || format!("the queue {}", spec.name);
    let name = name_of(&spec.name)?;
    let options = QueueDeclareOptions {
        durable: spec.durable,
        exclusive: spec.exclusive,
        auto_delete: spec.exclusive,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    for (argument, value) in spec.arguments() {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.into()),
            Argument::Number(number) => AMQPValue::LongLongInt(number),
        };
        arguments.insert(argument.into(), value);
    }
    channel.queue_declare(name.clone(), options, arguments).await.map_err(|error| explain(what(), &error))?;
    for binding in &spec.bindings {
        let (exchange, key) = (binding.exchange.name().into(), name_of(&binding.key)?);
        let bound = channel.queue_bind(name.clone(), exchange, key, QueueBindOptions::default(), FieldTable::default());
        bound.await.map_err(|error| match code(&error) {
            Some(NOT_FOUND) => ConsumeError::Missing { queue: spec.name.clone() },
            _ => explain(what(), &error),
        })?;
    }
    Ok(())
}

/// The waiting messages and the consumers of a queue (a passive declare, which needs no right to it).
/// If the queue is missing, the channel is closed.
pub(super) async fn count(channel: &Channel, queue: &str) -> Result<(u32, u32), ConsumeError> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(name_of(queue)?, passive, FieldTable::default()).await {
        Ok(state) => Ok((state.message_count(), state.consumer_count())),
        // A queue whose node is away is "not found" too; it must not be taken for an empty one.
        Err(error) if code(&error) == Some(NOT_FOUND) && words(&error).contains("no queue") => {
            Err(ConsumeError::Missing { queue: queue.to_owned() })
        }
        Err(error) => Err(explain(format!("the queue {queue}"), &error)),
    }
}

pub(super) async fn open(connection: &Connection) -> Result<Channel, ConsumeError> {
    connection.create_channel().await.map_err(|error| ConsumeError::Unreachable { why: words(&error) })
}

pub(super) fn name_of(text: &str) -> Result<ShortString, ConsumeError> {
    short("name", text).map_err(|why| ConsumeError::Refused { what: "the queue".to_owned(), why })
}

pub(super) fn explain(what: String, error: &lapin::Error) -> ConsumeError {
    let why = words(error);
    match code(error) {
        Some(PRECONDITION_FAILED) => ConsumeError::Differs { what, why },
        Some(ACCESS_REFUSED) => ConsumeError::Refused { what, why },
        _ => ConsumeError::Unreachable { why: format!("{what}: {why}") },
    }
}
