//! runner -> dispatcher: bytes that a job wrote.
//!
//! The body is one line of JSON and then the bytes as they are: a log is half of all that travels, and
//! bytes inside JSON would cost a third more and a pass over each of them.

use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Malformed};
use crate::{AttemptNumber, AttemptToken, JobId, MessageId};

/// A piece of one attempt's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: AttemptNumber,
    /// The holder's proof.
    pub token: AttemptToken,
    /// Where the bytes begin in the whole log.
    pub offset: u64,
    /// The bytes; the runner keeps a chunk below 256 KiB.
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    job: JobId,
    attempt: AttemptNumber,
    token: AttemptToken,
    offset: u64,
}

impl LogChunk {
    /// The kind of the envelope that carries a chunk.
    pub const KIND: &'static str = "log_chunk";

    /// Packs the chunk.
    pub fn into_envelope(self) -> Result<Envelope, Malformed> {
        let id = MessageId::of(&[
            "log",
            &self.job.to_string(),
            &self.attempt.to_string(),
            &self.offset.to_string(),
            &self.bytes.len().to_string(),
        ]);
        let head = Head { job: self.job, attempt: self.attempt, token: self.token, offset: self.offset };
        let mut body = serde_json::to_vec(&head)
            .map_err(|cause| Malformed::Body { kind: Self::KIND.into(), cause: cause.to_string() })?;
        body.push(b'\n');
        body.extend_from_slice(&self.bytes);
        Envelope::raw(Self::KIND, id, body)
    }

    /// Unpacks a chunk, or says what is wrong with it.
    pub fn from_envelope(envelope: &Envelope) -> Result<Self, Malformed> {
        envelope.expect_kind(Self::KIND)?;
        let bad = |cause: String| Malformed::Body { kind: Self::KIND.into(), cause };
        let end =
            envelope.body.iter().position(|b| *b == b'\n').ok_or_else(|| bad("no end of the first line".into()))?;
        let head: Head = serde_json::from_slice(&envelope.body[..end]).map_err(|cause| bad(cause.to_string()))?;
        Ok(Self {
            job: head.job,
            attempt: head.attempt,
            token: head.token,
            offset: head.offset,
            bytes: envelope.body[end + 1..].to_vec(),
        })
    }
}
