//! Dead letters: the list, one with its body, and those that are to be published again.

use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::parking::LetterStanding;
use crate::rows::{count, json, maybe_time, parse, time};
use crate::sqlite::Db;
use crate::{DeadLetterView, Ledger, LedgerError, NewDeadLetter};

/// The longest page.
const LONGEST_PAGE: u32 = 200;

from_row! {
    struct Row {
        number: i64,
        queue: String,
        reason: String,
        key: String,
        body: Vec<u8>,
        recorded_at: i64,
        exchange: Option<String>,
        head: Option<String>,
        bytes: i64,
        deaths: i64,
        state: String,
        note: Option<String>,
        last_at: Option<i64>,
    }
}

impl Row {
    fn read(self) -> Result<DeadLetterView, LedgerError> {
        Ok(DeadLetterView {
            number: self.number,
            letter: NewDeadLetter {
                queue: self.queue,
                reason: self.reason,
                exchange: self.exchange,
                key: self.key,
                head: self.head.as_deref().map(json).transpose()?,
                body: self.body,
                deaths: count(self.deaths)?,
                redelivered: false,
            },
            bytes: count(self.bytes)?,
            standing: parse::<LetterStanding>(&self.state)?,
            note: self.note,
            recorded_at: time(self.recorded_at)?,
            last_at: maybe_time(self.last_at)?.unwrap_or(time(self.recorded_at)?),
        })
    }
}

/// With the whole body, or none of it.
fn select(with_body: bool) -> String {
    let body = if with_body { "body" } else { "x'' AS body" };
    format!(
        "SELECT number, queue, reason, key, {body}, recorded_at, exchange, head, bytes, deaths, state, note, last_at \
         FROM dead_letters WHERE "
    )
}

impl Ledger {
    /// Letters that wait for a person or for their replay, newest first, at most `limit` (up to 200), and
    /// with `before` only older ones than that. Their bodies are left out.
    pub async fn dead_letters(&self, before: Option<i64>, limit: u32) -> Result<Vec<DeadLetterView>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(select(false));
        query.push("state IN ('parked', 'replaying')");
        if let Some(before) = before {
            query.push(" AND number < ").push_bind(before);
        }
        query.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit.clamp(1, LONGEST_PAGE)));
        query.build_query_as::<Row>().fetch_all(&self.readers).await?.into_iter().map(Row::read).collect()
    }

    /// One letter with its body, whatever became of it, as long as the limits keep it.
    pub async fn dead_letter(&self, number: i64) -> Result<Option<DeadLetterView>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(select(true));
        query.push("number = ").push_bind(number);
        query.build_query_as::<Row>().fetch_optional(&self.readers).await?.map(Row::read).transpose()
    }

    /// Letters that are to be published again, oldest first, at most `limit`.
    pub async fn letters_to_replay(&self, limit: u32) -> Result<Vec<DeadLetterView>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(select(true));
        query.push("state = 'replaying' ORDER BY number LIMIT ").push_bind(i64::from(limit));
        query.build_query_as::<Row>().fetch_all(&self.readers).await?.into_iter().map(Row::read).collect()
    }

    /// How many letters the limits took away before anybody had done with them.
    pub async fn dead_letters_dropped(&self) -> Result<u64, LedgerError> {
        count(sqlx::query_scalar("SELECT dropped FROM dead_letter_totals WHERE id = 1").fetch_one(&self.readers).await?)
    }
}
