//! Messages that were put aside, kept so that a person can look at them.

use crate::transaction::Tx;
use crate::writer::Write;
use crate::{LedgerError, NewDeadLetter};

/// The longest body that is kept, in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// How many are kept; the oldest go first.
const KEPT: i64 = 10_000;

/// [`crate::Ledger::record_dead_letter`].
pub(crate) struct Keep(pub(crate) NewDeadLetter);

impl Write for Keep {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        let Self(letter) = self;
        letter.body.truncate(BODY_BYTES);
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO dead_letters (number, queue, reason, key, body, recorded_at) \
             SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5 FROM dead_letters RETURNING number",
        )
        .bind(letter.queue.clone())
        .bind(letter.reason.clone())
        .bind(letter.key.clone())
        .bind(letter.body.clone())
        .bind(tx.now)
        .fetch_one(&mut tx.conn)
        .await?;
        sqlx::query("DELETE FROM dead_letters WHERE number <= $1").bind(number - KEPT).execute(&mut tx.conn).await?;
        Ok(())
    }
}
