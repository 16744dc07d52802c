//! The change feed and the messages that were put aside.

use crate::from_row::from_row;
use crate::rows::{odd, parse, time};
use crate::{Change, ChangeSubject, DeadLetterView, Ledger, LedgerError, NewDeadLetter};

from_row! {
    struct DeadRow {
        number: i64,
        queue: String,
        reason: String,
        key: String,
        body: Vec<u8>,
        recorded_at: i64,
    }
}

impl Ledger {
    /// Changes after `number`, oldest first, at most `limit`. The feed keeps the last 100,000: who was
    /// away for longer finds the oldest of those first, and reads everything anew.
    pub async fn changes_since(&self, number: i64, limit: u32) -> Result<Vec<Change>, LedgerError> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT number, kind, id FROM changes WHERE number > $1 ORDER BY number LIMIT $2")
                .bind(number)
                .bind(i64::from(limit))
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter()
            .map(|(number, kind, id)| {
                let subject = match kind.as_str() {
                    "build" => ChangeSubject::Build(parse(&id)?),
                    "job" => ChangeSubject::Job(parse(&id)?),
                    "runner" => ChangeSubject::Runner(parse(&id)?),
                    other => return Err(odd(format_args!("change of a {other:?}"))),
                };
                Ok(Change { number, subject })
            })
            .collect()
    }

    /// Messages that were put aside, newest first, at most `limit`.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetterView>, LedgerError> {
        let rows: Vec<DeadRow> = sqlx::query_as(
            "SELECT number, queue, reason, key, body, recorded_at FROM dead_letters ORDER BY number DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|row| {
                let letter = NewDeadLetter { queue: row.queue, reason: row.reason, key: row.key, body: row.body };
                Ok(DeadLetterView { number: row.number, letter, recorded_at: time(row.recorded_at)? })
            })
            .collect()
    }
}
