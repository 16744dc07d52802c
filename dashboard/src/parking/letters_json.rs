//! The shape of dead letters in the API's answers.

use jiff::Timestamp;
use serde::Serialize;
use store::DeadLetterView;
use store::parking::OrderView;

use super::body::Body;

/// A dead letter, as it is listed.
#[derive(Serialize)]
pub(super) struct Letter {
    kind: &'static str,
    id: String,
    standing: &'static str,
    queue: String,
    reason: String,
    exchange: Option<String>,
    key: String,
    message_kind: Option<String>,
    message_id: Option<String>,
    deaths: u64,
    bytes: u64,
    replayable: bool,
    note: Option<String>,
    recorded_at: Timestamp,
    last_at: Timestamp,
}

/// A dead letter with its body, and who ordered what.
#[derive(Serialize)]
pub(super) struct LetterInFull {
    #[serde(flatten)]
    letter: Letter,
    body: Shown,
    orders: Vec<OrderView>,
}

/// A body as it may be shown.
#[derive(Serialize)]
struct Shown {
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl From<DeadLetterView> for Letter {
    fn from(view: DeadLetterView) -> Self {
        let letter = view.letter;
        Self {
            kind: "letter",
            id: view.number.to_string(),
            standing: view.standing.as_str(),
            replayable: letter.head.is_some() && letter.exchange.is_some(),
            queue: letter.queue,
            reason: letter.reason,
            exchange: letter.exchange,
            key: letter.key,
            message_kind: letter.head.as_ref().map(|head| head.kind.clone()),
            message_id: letter.head.map(|head| head.id),
            deaths: letter.deaths,
            bytes: view.bytes,
            note: view.note,
            recorded_at: view.recorded_at,
            last_at: view.last_at,
        }
    }
}

impl LetterInFull {
    pub(super) fn new(mut view: DeadLetterView, orders: Vec<OrderView>) -> Self {
        let whole = Body::is_whole(view.bytes);
        let (text, hex) = match Body::of(&std::mem::take(&mut view.letter.body)) {
            Body::Text(text) => (Some(text), None),
            Body::Hex(hex) => (None, Some(hex)),
        };
        Self { letter: view.into(), body: Shown { whole, text, hex }, orders }
    }
}
