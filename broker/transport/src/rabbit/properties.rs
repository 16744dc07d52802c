//! Envelopes as AMQP properties and headers, and back.
//!
//! Apart because it is pure and because everything it reads was written by somebody else: whatever is
//! missing, ill-typed or too large is a [`Malformed`], never a panic. Must not know: connections.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use messages::{Envelope, MAX_BODY_BYTES, Malformed, MessageId};

use crate::Death;

const VERSION_HEADER: &str = "thump-version";
const TRACE_HEADER: &str = "traceparent";
const DEATH_REASON_HEADER: &str = "thump-death-reason";
const DEATH_QUEUE_HEADER: &str = "thump-death-queue";
const DEATH_EXCHANGE_HEADER: &str = "thump-death-exchange";
const DEATH_KEY_HEADER: &str = "thump-death-key";

/// A reason is for people, and headers count towards the frame size.
const LONGEST_REASON: usize = 1000;
/// Delivery modes of AMQP 0-9-1, section 1.8.2.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// The properties of an envelope that is to be sent.
///
/// # Errors
/// In words: a field that does not fit into the 255 bytes of a short string, or a body too large.
pub(super) fn encode(envelope: &Envelope, persistent: bool) -> Result<BasicProperties, String> {
    if envelope.body.len() > MAX_BODY_BYTES {
        return Err(Malformed::TooLarge { bytes: envelope.body.len() }.to_string());
    }
    let mut headers = FieldTable::default();
    headers.insert(VERSION_HEADER.into(), AMQPValue::LongInt(i32::from(envelope.version)));
    if let Some(trace) = &envelope.traceparent {
        headers.insert(TRACE_HEADER.into(), AMQPValue::LongString(trace.as_str().into()));
    }
    let mut properties = BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(if persistent { PERSISTENT } else { TRANSIENT })
        .with_message_id(short("message id", envelope.id.to_string())?)
        .with_type(short("kind", envelope.kind.as_str())?);
    if let Some(address) = &envelope.reply_to {
        properties = properties.with_reply_to(short("reply address", address.as_str())?);
    }
    if let Some(id) = &envelope.correlation_id {
        properties = properties.with_correlation_id(short("correlation id", id.as_str())?);
    }
    Ok(properties)
}

/// A short string, or words that say which one is too long.
pub(super) fn short(what: &str, text: impl Into<String>) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| format!("its {what} is longer than 255 bytes"))
}

/// The envelope that a delivery carries.
///
/// # Errors
/// [`Malformed`]: too large, or without version, id or kind.
pub(super) fn decode(properties: &BasicProperties, body: &[u8]) -> Result<Envelope, Malformed> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Malformed::TooLarge { bytes: body.len() });
    }
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let version = header(VERSION_HEADER)
        .and_then(whole_number)
        .and_then(|number| u16::try_from(number).ok())
        .ok_or(Malformed::Missing { field: VERSION_HEADER })?;
    let id: MessageId = properties
        .message_id()
        .as_ref()
        .and_then(|id| id.as_str().parse().ok())
        .ok_or(Malformed::Missing { field: "message id" })?;
    let kind = owned(properties.kind().as_ref()).ok_or(Malformed::Missing { field: "type" })?;
    Ok(Envelope {
        version,
        kind,
        id,
        traceparent: header(TRACE_HEADER).and_then(text),
        reply_to: owned(properties.reply_to().as_ref()),
        correlation_id: owned(properties.correlation_id().as_ref()),
        body: body.to_vec(),
    })
}

/// Why a message is in the dead queue: in our words if a role put it aside, else in the broker's.
pub(super) fn death(properties: &BasicProperties) -> Option<Death> {
    let headers = properties.headers().as_ref()?.inner();
    let ours = |name: &str| headers.get(name).and_then(text);
    if let (Some(queue), Some(reason)) = (ours(DEATH_QUEUE_HEADER), ours(DEATH_REASON_HEADER)) {
        let (exchange, key) = (ours(DEATH_EXCHANGE_HEADER), ours(DEATH_KEY_HEADER));
        return Some(Death { queue, reason, exchange, key, count: 1 });
    }
    // The newest death stands first.
    let AMQPValue::FieldArray(deaths) = headers.get("x-death")? else { return None };
    let AMQPValue::FieldTable(newest) = deaths.as_slice().first()? else { return None };
    let field = |name: &str| newest.inner().get(name).and_then(text);
    let key = match newest.inner().get("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(text),
        _ => None,
    };
    let count = newest.inner().get("count").and_then(whole_number).and_then(|count| u64::try_from(count).ok());
    Some(Death {
        queue: field("queue")?,
        reason: field("reason")?,
        exchange: field("exchange"),
        key,
        count: count.unwrap_or(1),
    })
}

/// The properties under which a message is put aside: its own words about itself and the death.
///
/// Not simply a copy: a foreign user id is refused by the broker, an expiry would lose the message, and
/// CC headers would send it to more queues than one.
pub(super) fn put_aside(properties: &BasicProperties, death: &Death) -> BasicProperties {
    let mut headers = FieldTable::default();
    let given = properties.headers().as_ref();
    for name in [VERSION_HEADER, TRACE_HEADER] {
        if let Some(value) = given.and_then(|headers| headers.inner().get(name)) {
            headers.insert(name.into(), value.clone());
        }
    }
    let reason: String = death.reason.chars().take(LONGEST_REASON).collect();
    headers.insert(DEATH_REASON_HEADER.into(), AMQPValue::LongString(reason.into()));
    headers.insert(DEATH_QUEUE_HEADER.into(), AMQPValue::LongString(death.queue.as_str().into()));
    for (name, value) in [(DEATH_EXCHANGE_HEADER, &death.exchange), (DEATH_KEY_HEADER, &death.key)] {
        if let Some(value) = value {
            headers.insert(name.into(), AMQPValue::LongString(value.as_str().into()));
        }
    }
    let mut dead = BasicProperties::default().with_headers(headers).with_delivery_mode(PERSISTENT);
    if let Some(id) = properties.message_id() {
        dead = dead.with_message_id(id.clone());
    }
    if let Some(kind) = properties.kind() {
        dead = dead.with_type(kind.clone());
    }
    if let Some(address) = properties.reply_to().as_ref().filter(|address| !is_direct_reply(address.as_str())) {
        dead = dead.with_reply_to(address.clone());
    }
    if let Some(id) = properties.correlation_id() {
        dead = dead.with_correlation_id(id.clone());
    }
    dead
}

/// Whether an address is one of RabbitMQ's direct reply-to, and so cannot name a queue of ours.
pub(super) fn is_direct_reply(address: &str) -> bool {
    address.starts_with("amq.rabbitmq.reply-to.")
}

fn owned(text: Option<&ShortString>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Clients pick the width by the value, so every width counts.
fn whole_number(value: &AMQPValue) -> Option<i64> {
    Some(match *value {
        AMQPValue::ShortShortInt(number) => number.into(),
        AMQPValue::ShortShortUInt(number) => number.into(),
        AMQPValue::ShortInt(number) => number.into(),
        AMQPValue::ShortUInt(number) => number.into(),
        AMQPValue::LongInt(number) => number.into(),
        AMQPValue::LongUInt(number) => number.into(),
        AMQPValue::LongLongInt(number) => number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    fn died(queue: &str, reason: &str) -> Death {
        Death {
            queue: queue.to_owned(),
            reason: reason.to_owned(),
            exchange: Some("thump.commits".to_owned()),
            key: Some("app".to_owned()),
            count: 1,
        }
    }

    fn envelope() -> Envelope {
        let mut envelope = Envelope::raw("job", MessageId::of(&["a"]), b"{\"a\":1}\0\xff".to_vec()).expect("small");
        envelope.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        envelope.answer_to("thump.results", "7")
    }

    #[test]
    fn what_was_packed_into_properties_comes_out_again() {
        for envelope in [envelope(), Envelope::raw("probe", MessageId::of(&["b"]), vec![]).expect("small")] {
            let properties = encode(&envelope, true).expect("fits");
            assert_eq!(decode(&properties, &envelope.body), Ok(envelope));
        }
    }

    #[test]
    fn only_what_must_survive_a_restart_is_persistent() {
        assert_eq!(*encode(&envelope(), true).expect("fits").delivery_mode(), Some(PERSISTENT));
        assert_eq!(*encode(&envelope(), false).expect("fits").delivery_mode(), Some(TRANSIENT));
    }

    #[test]
    fn what_does_not_fit_is_said_and_never_a_panic() {
        let mut long = envelope();
        long.kind = "k".repeat(256);
        assert!(encode(&long, true).expect_err("too long").contains("kind"));
        let mut large = envelope();
        large.body = vec![0; MAX_BODY_BYTES + 1];
        assert!(encode(&large, true).expect_err("too large").contains("limit"));
    }

    #[test]
    fn a_stranger_without_the_properties_is_malformed() {
        let good = encode(&envelope(), true).expect("fits");
        let mut wrong_type = FieldTable::default();
        wrong_type.insert(VERSION_HEADER.into(), AMQPValue::LongString("1".into()));
        let mut negative = FieldTable::default();
        negative.insert(VERSION_HEADER.into(), AMQPValue::LongLongInt(-1));
        for (properties, field) in [
            (BasicProperties::default(), VERSION_HEADER),
            (good.clone().with_headers(wrong_type), VERSION_HEADER),
            (good.clone().with_headers(negative), VERSION_HEADER),
            (good.clone().with_message_id("7".into()), "message id"),
        ] {
            assert_eq!(decode(&properties, b""), Err(Malformed::Missing { field }));
        }
        let bytes = MAX_BODY_BYTES + 1;
        assert_eq!(decode(&good, &vec![0; bytes]), Err(Malformed::TooLarge { bytes }));
    }

    #[test]
    fn a_death_is_told_in_our_words_or_in_the_brokers() {
        assert_eq!(death(&encode(&envelope(), true).expect("fits")), None);

        let mut newest = FieldTable::default();
        newest.insert("queue".into(), AMQPValue::LongString("thump.results".into()));
        newest.insert("reason".into(), AMQPValue::LongString("delivery_limit".into()));
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(newest)])));
        let brokers = BasicProperties::default().with_headers(headers);
        let told = Death { exchange: None, key: None, ..died("thump.results", "delivery_limit") };
        assert_eq!(death(&brokers), Some(told));

        let ours = died("thump.commits", "no such repository");
        assert_eq!(death(&put_aside(&brokers, &ours)), Some(ours));
    }

    #[test]
    fn a_message_put_aside_keeps_its_words_and_loses_what_could_divert_it() {
        let ours = died("thump.commits", &"x".repeat(5000));
        let mut given =
            encode(&envelope(), false).expect("fits").with_user_id("eve".into()).with_expiration("1".into());
        let mut headers = given.headers().clone().expect("headers");
        headers.insert("CC".into(), AMQPValue::FieldArray(FieldArray::default()));
        given = given.with_headers(headers);

        let dead = put_aside(&given, &ours);
        assert_eq!(decode(&dead, &envelope().body), Ok(envelope()));
        assert_eq!((dead.user_id(), dead.expiration(), *dead.delivery_mode()), (&None, &None, Some(PERSISTENT)));
        assert!(!dead.headers().as_ref().expect("headers").contains_key("CC"));
        assert_eq!(death(&dead).expect("a death").reason.len(), LONGEST_REASON);
    }
}
