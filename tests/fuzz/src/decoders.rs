//! Every decoder of foreign bytes. A new one is a block in one of the files below: a name, right inputs, a
//! function. A new message is a line in [`all`].
//!
//! The function says whether the input was taken, and asserts what must hold of everything that is.

mod asked;
mod authored;
mod delivered;
mod observer;
mod runner;

use std::fmt::Debug;

use messages::{
    Beat, BeatAnswer, CancelAttempt, Claim, ClaimAnswer, CommitSeen, Envelope, Finished, HandBack, Job, Message,
    MessageId, Probe, Recorded, TestResults, Tick,
};

use crate::examples::{self, json};

/// What a decoder said to an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was taken.
    Accepted,
    /// It was refused.
    Rejected,
}

/// Something that reads what others wrote.
pub struct Decoder {
    /// Its name, and the name of its folder of former finds.
    pub name: &'static str,
    /// Right inputs.
    pub examples: Vec<Vec<u8>>,
    /// Decodes, and asserts.
    pub decode: fn(&[u8]) -> Seen,
}

impl Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every decoder, in the order in which one commit meets them.
pub fn all() -> Vec<Decoder> {
    let mut all = Vec::new();
    all.extend(observer::decoders());
    all.extend(delivered::decoders());
    all.extend(authored::decoders());
    all.extend(runner::decoders());
    all.extend(asked::decoders());
    all.extend([
        message::<CommitSeen>("commit-seen", &examples::commits_seen()),
        message::<Recorded>("recorded", &examples::recorded()),
        message::<Job>("job", &examples::jobs()),
        message::<Claim>("claim", &examples::claims()),
        message::<ClaimAnswer>("claim-answer", &examples::claim_answers()),
        message::<Beat>("beat", &examples::beats()),
        message::<BeatAnswer>("beat-answer", &examples::beat_answers()),
        message::<Finished>("finished", &examples::results()),
        message::<HandBack>("hand-back", &examples::hand_backs()),
        message::<TestResults>("test-results", &examples::test_results()),
        message::<CancelAttempt>("cancel-attempt", &examples::cancels()),
        message::<Probe>("probe", &examples::probes()),
        message::<Tick>("tick", &examples::ticks()),
    ]);
    all
}

/// A message: what is understood is the same when it is sent on.
fn message<M: Message + PartialEq + Debug>(name: &'static str, examples: &[M]) -> Decoder {
    fn decode<M: Message + PartialEq + Debug>(input: &[u8]) -> Seen {
        let open = |body: &[u8]| Envelope::raw(M::KIND, MessageId::of(&["x"]), body.to_vec())?.open::<M>();
        let Ok(message) = open(input) else { return Seen::Rejected };
        let again = open(&json(&message));
        assert_eq!(again.as_ref(), Ok(&message), "sent on as it was understood");
        Seen::Accepted
    }
    Decoder { name, examples: examples.iter().map(json).collect(), decode: decode::<M> }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn text(input: &[u8], decode: impl FnOnce(&str) -> bool) -> Seen {
    seen(std::str::from_utf8(input).is_ok_and(decode))
}

/// What was decoded and encoded again decodes to the same.
fn recoded(input: &[u8], recode: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Seen {
    let Some(once) = recode(input) else { return Seen::Rejected };
    assert_eq!(recode(&once).as_ref(), Some(&once), "read back as it was written");
    Seen::Accepted
}

fn seen(taken: bool) -> Seen {
    if taken { Seen::Accepted } else { Seen::Rejected }
}
