//! Dead letters as pages.

use askama::Template;
use axum::response::Response;
use store::DeadLetterView;
use store::parking::LetterStanding;

use super::body::Body;
use super::pages::OrderRow;
use crate::Desk;
use crate::error::Problem;
use crate::pages::{Badge, Frame, frame, page};
use crate::shown::shown;

#[derive(Template)]
#[template(path = "dead_letter.html")]
struct LetterPage {
    frame: Frame,
    letter: LetterRow,
    body: String,
    hex: bool,
    whole: bool,
    orders: Vec<OrderRow>,
}

pub(super) struct LetterRow {
    pub(super) number: i64,
    pub(super) queue: String,
    pub(super) exchange: String,
    pub(super) key: String,
    kind: String,
    pub(super) reason: String,
    pub(super) note: String,
    pub(super) deaths: u64,
    pub(super) bytes: u64,
    replayable: bool,
    pub(super) standing: Badge,
    recorded_at: String,
    pub(super) last_at: String,
}

pub(super) async fn entry(desk: &Desk, number: i64) -> Result<Response, Problem> {
    let view = desk.ledger.dead_letter(number).await?.ok_or_else(super::api::unknown)?;
    let orders = desk.ledger.orders_about(&number.to_string()).await?;
    let (body, hex) = match Body::of(&view.letter.body) {
        Body::Text(text) => (text, false),
        Body::Hex(hex) => (hex, true),
    };
    page(&LetterPage {
        frame: frame(desk).await,
        whole: Body::is_whole(view.bytes),
        letter: view.into(),
        body,
        hex,
        orders: orders.into_iter().map(OrderRow::from).collect(),
    })
}

impl From<DeadLetterView> for LetterRow {
    fn from(view: DeadLetterView) -> Self {
        let letter = view.letter;
        let (word, shape, class) = match view.standing {
            LetterStanding::Parked => ("parked", "▲", "errored"),
            LetterStanding::Replaying => ("replaying", "◐", "waiting"),
            LetterStanding::Replayed => ("replayed", "↻", "quiet"),
            LetterStanding::Discarded => ("discarded", "⊘", "quiet"),
        };
        Self {
            number: view.number,
            queue: shown(&letter.queue),
            replayable: letter.head.is_some() && letter.exchange.is_some(),
            exchange: letter.exchange.as_deref().map_or_else(|| "an unknown exchange".to_owned(), shown),
            key: shown(&letter.key),
            kind: letter.head.as_ref().map_or_else(|| "unknown".to_owned(), |head| shown(&head.kind)),
            reason: shown(&letter.reason),
            note: view.note.as_deref().map(shown).unwrap_or_default(),
            deaths: letter.deaths,
            bytes: view.bytes,
            standing: Badge { word, shape, class },
            recorded_at: view.recorded_at.to_string(),
            last_at: view.last_at.to_string(),
        }
    }
}
