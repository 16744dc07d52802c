//! What the broker delivers, and what names a broker.

use messages::{Envelope, LogChunk, MessageId};

use super::{Decoder, Seen, seen, text, texts};
use crate::examples::{self, json};

pub(super) fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "broker-url",
            examples: texts(&[
                "amqp://guest:guest@localhost:5672/thump",
                "amqps://us%65r:p%40ss%2Fw%25@broker.example:7777/thu%2Fmp",
                "amqp://u:p@[::1]:5673/v",
            ]),
            decode: |input| {
                text(input, |text| match broker::decoders::url(text) {
                    Ok(at) => {
                        assert!(at.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty()), "{at:?}");
                        true
                    }
                    Err(refused) => {
                        assert!(!refused.shown.contains('@'), "{:?} may show a password", refused.shown);
                        false
                    }
                })
            },
        },
        Decoder {
            name: "broker-greeting",
            examples: vec![
                b"\0\x0a\0\x0a\0\x09\0\0\0\x20\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8 rest".to_vec(),
            ],
            decode: |input| seen(broker::decoders::greeting(input).is_some()),
        },
        Decoder {
            name: "envelope-properties",
            examples: properties(),
            decode: |input| {
                let Some(envelope) = broker::decoders::envelope(input, b"body") else { return Seen::Rejected };
                let again =
                    broker::decoders::wire(&envelope).and_then(|wire| broker::decoders::envelope(&wire, b"body"));
                assert_eq!(again, Some(envelope), "what was understood is sent on as it was");
                Seen::Accepted
            },
        },
        Decoder {
            name: "death-properties",
            examples: deaths(),
            decode: |input| {
                let Some((death, again)) = broker::decoders::death(input) else { return Seen::Rejected };
                let (kept, _) = broker::decoders::death(&again).expect("put aside with a reason");
                assert_eq!(kept.queue, death.queue);
                assert!(death.reason.starts_with(&kept.reason), "the reason, perhaps cut");
                Seen::Accepted
            },
        },
        Decoder { name: "log-chunk", examples: examples::log_chunks(), decode: log_chunk },
        Decoder {
            name: "refused-commit",
            examples: examples::commits_seen().iter().map(json).collect(),
            decode: |input| seen(dispatcher::decoders::observer_of(input).is_some()),
        },
    ]
}

fn log_chunk(input: &[u8]) -> Seen {
    let Ok(envelope) = Envelope::raw(LogChunk::KIND, MessageId::of(&["x"]), input.to_vec()) else {
        return Seen::Rejected;
    };
    let Ok(chunk) = LogChunk::from_envelope(&envelope) else { return Seen::Rejected };
    match chunk.clone().into_envelope() {
        Ok(again) => assert_eq!(LogChunk::from_envelope(&again), Ok(chunk), "sent on as it was understood"),
        // The line before the bytes may have grown: sender's numbers may be written in fewer digits.
        Err(refused) => assert!(input.len() + 200 > messages::MAX_BODY_BYTES, "{refused}"),
    }
    Seen::Accepted
}

fn properties() -> Vec<Vec<u8>> {
    let mut envelopes = Vec::new();
    if let Ok(mut envelope) = Envelope::raw("job", MessageId::of(&["a"]), b"body".to_vec()) {
        envelopes.push(envelope.clone());
        envelope.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        envelopes.push(envelope.answer_to("thump.results", "7"));
    }
    envelopes.iter().filter_map(broker::decoders::wire).collect()
}

/// Two headers with one death: in our words, and in the broker's.
fn deaths() -> Vec<Vec<u8>> {
    let field = |name: &str, kind: u8, value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap_or_default().to_be_bytes();
        let name_length = u8::try_from(name.len()).unwrap_or_default();
        [&[name_length], name.as_bytes(), &[kind], &length, value].concat()
    };
    let table = |fields: &[Vec<u8>]| {
        let fields = fields.concat();
        [u32::try_from(fields.len()).unwrap_or_default().to_be_bytes().as_slice(), &fields].concat()
    };
    // Only the headers are there (AMQP 0-9-1, section 4.2.6.1: the first property has the highest bit).
    let with_headers = |fields: &[Vec<u8>]| [&0x2000_u16.to_be_bytes(), table(fields).as_slice()].concat();
    let ours = [
        field("thump-death-queue", b'S', b"thump.commits"),
        field("thump-death-reason", b'S', b"the body is no commit_seen"),
    ];
    let newest = [field("queue", b'S', b"thump.results"), field("reason", b'S', b"delivery_limit")];
    let brokers = field("x-death", b'A', &[b"F".as_slice(), &table(&newest)].concat());
    vec![with_headers(&ours), with_headers(&[brokers])]
}
