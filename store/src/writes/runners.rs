//! Beats of runners, as far as pages need them. Leases are the dispatcher's and live in its memory.

use messages::RunnerName;

use crate::rows::to_count;
use crate::transaction::Tx;
use crate::writer::Write;
use crate::{ChangeSubject, LedgerError, RunnerSeen};

/// [`crate::Ledger::runner_seen`].
pub(crate) struct Seen(pub(crate) RunnerSeen);

/// [`crate::Ledger::runner_gone`].
pub(crate) struct Gone(pub(crate) RunnerName);

impl Write for Seen {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        let Self(runner) = self;
        // A beat like the last one only moves the time: no line in the feed, no page that wakes for it.
        let same = sqlx::query(
            "UPDATE runners SET last_seen = $1 WHERE name = $2 AND incarnation = $3 AND pool = $4 AND slots = $5 \
             AND draining = $6 AND version = $7 AND COALESCE(trouble, '') = $8 AND gone = 0",
        )
        .bind(tx.now)
        .bind(runner.name.as_str().to_owned())
        .bind(runner.incarnation.to_string())
        .bind(runner.pool.as_str().to_owned())
        .bind(i64::from(runner.slots))
        .bind(i16::from(runner.draining))
        .bind(runner.version.clone())
        .bind(runner.trouble.clone().unwrap_or_default())
        .execute(&mut tx.conn)
        .await?;
        if same.rows_affected() > 0 {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO runners (name, incarnation, pool, slots, draining, version, gone, last_seen, folder, life_number, trouble) \
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET \
             incarnation = excluded.incarnation, pool = excluded.pool, slots = excluded.slots, \
             draining = excluded.draining, version = excluded.version, gone = 0, last_seen = excluded.last_seen, \
             folder = excluded.folder, life_number = excluded.life_number, trouble = excluded.trouble",
        )
        .bind(runner.name.as_str().to_owned())
        .bind(runner.incarnation.to_string())
        .bind(runner.pool.as_str().to_owned())
        .bind(i64::from(runner.slots))
        .bind(i16::from(runner.draining))
        .bind(runner.version.clone())
        .bind(tx.now)
        .bind(runner.birth.folder.to_string())
        .bind(to_count(runner.birth.number))
        .bind(runner.trouble.clone())
        .execute(&mut tx.conn)
        .await?;
        tx.touched.subject(&ChangeSubject::Runner(runner.name.clone()));
        Ok(())
    }
}

impl Write for Gone {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        let changed = sqlx::query("UPDATE runners SET gone = 1 WHERE name = $1 AND gone = 0")
            .bind(self.0.as_str().to_owned())
            .execute(&mut tx.conn)
            .await?;
        if changed.rows_affected() > 0 {
            tx.touched.subject(&ChangeSubject::Runner(self.0.clone()));
        }
        Ok(())
    }
}
