//! The change feed.

use crate::rows::{odd, parse};
use crate::{Change, ChangeSubject, Ledger, LedgerError};

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
                    "dead_letter" => ChangeSubject::DeadLetter(parse(&id)?),
                    other => return Err(odd(format_args!("change of a {other:?}"))),
                };
                Ok(Change { number, subject })
            })
            .collect()
    }
}
