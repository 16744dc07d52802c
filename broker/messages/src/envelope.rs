//! What every message wears: version, kind, id, trace context, and where an answer goes.
//!
//! The envelope's fields travel as AMQP properties and headers (AMQP 0-9-1, section 1.8.2, class
//! basic), the message itself as the body. The broker crate moves envelopes and never looks inside.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::MessageId;

/// The version of the words in this crate. A message of another major version is not understood.
pub const VERSION: u16 = 1;
/// The largest body that travels, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A noun that can travel.
pub trait Message: Serialize + DeserializeOwned {
    /// The word by which the receiver knows what it holds.
    const KIND: &'static str;
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender's [`VERSION`].
    pub version: u16,
    /// What the body is.
    pub kind: String,
    /// A repeat carries the same id.
    pub id: MessageId,
    /// W3C trace context, if the sender had one.
    pub traceparent: Option<String>,
    /// Where an answer goes.
    pub reply_to: Option<String>,
    /// What an answer must carry.
    pub correlation_id: Option<String>,
    /// The message.
    pub body: Vec<u8>,
}

/// A message that cannot be understood. It goes to `thump.dead`; a retry never helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It says nothing about itself.
    #[error("the message has no {field}")]
    Missing {
        /// The property or header that is absent or unreadable.
        field: &'static str,
    },
    /// Another version of Thump sent it.
    #[error("the message is of version {theirs}, this is {VERSION}")]
    Version {
        /// The sender's version.
        theirs: u16,
    },
    /// It is something else than the queue is for.
    #[error("the message is a {found:?}, expected {expected}")]
    Kind {
        /// What it says it is, cut to 100 characters.
        found: String,
        /// What the reader wanted.
        expected: String,
    },
    /// Too large to be read or sent.
    #[error("the message has {bytes} bytes, the limit is {MAX_BODY_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The body is not what its kind says.
    #[error("the body is no {kind}: {cause}")]
    Body {
        /// What it says it is.
        kind: String,
        /// What the decoder found.
        cause: String,
    },
}

impl Envelope {
    /// Packs a message.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] above [`MAX_BODY_BYTES`].
    pub fn of<M: Message>(message: &M, id: MessageId) -> Result<Self, Malformed> {
        let body = serde_json::to_vec(message)
            .map_err(|cause| Malformed::Body { kind: M::KIND.to_owned(), cause: cause.to_string() })?;
        Self::raw(M::KIND, id, body)
    }

    /// Packs bytes that are encoded already.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] above [`MAX_BODY_BYTES`].
    pub fn raw(kind: &str, id: MessageId, body: Vec<u8>) -> Result<Self, Malformed> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Malformed::TooLarge { bytes: body.len() });
        }
        Ok(Self {
            version: VERSION,
            kind: kind.to_owned(),
            id,
            traceparent: None,
            reply_to: None,
            correlation_id: None,
            body,
        })
    }

    /// Sets where the answer goes and what it must carry.
    #[must_use]
    pub fn answer_to(mut self, reply_to: impl Into<String>, correlation_id: impl Into<String>) -> Self {
        self.reply_to = Some(reply_to.into());
        self.correlation_id = Some(correlation_id.into());
        self
    }

    /// Unpacks the message, or says what is wrong with it.
    ///
    /// # Errors
    /// [`Malformed`]: wrong version, kind, size or body.
    pub fn open<M: Message>(&self) -> Result<M, Malformed> {
        self.expect_kind(M::KIND)?;
        serde_json::from_slice(&self.body)
            .map_err(|cause| Malformed::Body { kind: self.kind.clone(), cause: cause.to_string() })
    }

    /// Checks all that can be checked before the body is read.
    ///
    /// # Errors
    /// [`Malformed`]: wrong version, kind or size.
    pub fn expect_kind(&self, expected: &str) -> Result<(), Malformed> {
        if self.version != VERSION {
            return Err(Malformed::Version { theirs: self.version });
        }
        if self.kind != expected {
            let found = self.kind.chars().take(100).collect();
            return Err(Malformed::Kind { found, expected: expected.to_owned() });
        }
        if self.body.len() > MAX_BODY_BYTES {
            return Err(Malformed::TooLarge { bytes: self.body.len() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttemptNumber, AttemptToken, JobId, LogChunk, Probe};

    fn id() -> MessageId {
        MessageId::of(&["test"])
    }

    #[test]
    fn what_was_packed_is_what_is_opened() {
        let envelope = Envelope::of(&Probe {}, id()).expect("small");
        assert_eq!(envelope.open::<Probe>(), Ok(Probe {}));
    }

    #[test]
    fn a_message_for_somebody_else_is_refused_before_its_body_is_read() {
        let envelope = Envelope::raw("job", id(), b"not json".to_vec()).expect("small");
        assert!(matches!(envelope.open::<Probe>(), Err(Malformed::Kind { .. })));
        let mut newer = Envelope::of(&Probe {}, id()).expect("small");
        newer.version = VERSION + 1;
        assert!(matches!(newer.open::<Probe>(), Err(Malformed::Version { .. })));
    }

    #[test]
    fn a_tower_of_brackets_is_an_error_and_not_a_stack_overflow() {
        let envelope = Envelope::raw("probe", id(), vec![b'['; 500_000]).expect("small");
        assert!(matches!(envelope.open::<Probe>(), Err(Malformed::Body { .. })));
    }

    #[test]
    fn too_large_is_refused_by_the_sender() {
        assert!(matches!(Envelope::raw("x", id(), vec![0; MAX_BODY_BYTES + 1]), Err(Malformed::TooLarge { .. })));
    }

    #[test]
    fn log_bytes_travel_untouched() {
        let chunk = LogChunk {
            job: JobId(id().0),
            attempt: AttemptNumber::FIRST,
            token: AttemptToken::from_random([1; 16]),
            offset: 7,
            bytes: b"\n\0\xff{}\n".to_vec(),
        };
        let envelope = chunk.clone().into_envelope().expect("small");
        assert_eq!(LogChunk::from_envelope(&envelope), Ok(chunk));
    }
}
