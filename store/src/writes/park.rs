//! What people do with parked jobs: run them again, or have done with them.
//!
//! A job is parked by its verdict alone, so nothing is written when it ends: whatever ends a job as
//! errored parks it. Idempotent: a job is run again once, and a second order says so.

use messages::JobId;

use crate::ChangeSubject;
use crate::LedgerError;
use crate::from_row::from_row;
use crate::parking::NotParked;
use crate::rows::{odd, parse};
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::cancel::note_order;
use crate::writes::retry;

/// [`crate::Ledger::replay_job`].
pub(crate) struct Replay {
    pub(crate) job: JobId,
    pub(crate) who: String,
}

/// [`crate::Ledger::discard_job`].
pub(crate) struct Discard {
    pub(crate) job: JobId,
    pub(crate) who: String,
}

from_row! {
    struct Row {
        build: String,
        verdict: Option<String>,
        superseded: i16,
        discarded: i16,
    }
}

impl Write for Replay {
    type Answer = Result<JobId, NotParked>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        if let Err(not) = parked(tx, self.job).await? {
            return Ok(Err(not));
        }
        let Some(again) = retry::again(tx, self.job).await? else {
            return Err(odd(format_args!("the parked job {} cannot be run again", self.job)));
        };
        note_order(tx, &self.who, "replay_job", &self.job.to_string()).await?;
        Ok(Ok(again))
    }
}

impl Write for Discard {
    type Answer = Result<(), NotParked>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        match parked(tx, self.job).await? {
            Ok(true) => return Ok(Err(NotParked::Discarded)),
            Ok(false) => {}
            Err(not) => return Ok(Err(not)),
        }
        sqlx::query("UPDATE jobs SET discarded = 1 WHERE id = $1")
            .bind(self.job.to_string())
            .execute(&mut tx.conn)
            .await?;
        tx.touched.subject(&ChangeSubject::Job(self.job));
        note_order(tx, &self.who, "discard_job", &self.job.to_string()).await?;
        Ok(Ok(()))
    }
}

/// Whether it was discarded, if it is an errored job that nobody has run again.
async fn parked(tx: &mut Tx, job: JobId) -> Result<Result<bool, NotParked>, LedgerError> {
    let row: Option<Row> = sqlx::query_as("SELECT build, verdict, superseded, discarded FROM jobs WHERE id = $1")
        .bind(job.to_string())
        .fetch_optional(&mut tx.conn)
        .await?;
    let Some(row) = row else { return Ok(Err(NotParked::Unknown)) };
    if row.verdict.as_deref() != Some("errored") {
        return Ok(Err(NotParked::NotErrored));
    }
    if row.superseded != 0 {
        let again: String = sqlx::query_scalar("SELECT id FROM jobs WHERE build = $1 AND retry_of = $2")
            .bind(row.build)
            .bind(job.to_string())
            .fetch_one(&mut tx.conn)
            .await?;
        return Ok(Err(NotParked::RunAgain(parse(&again)?)));
    }
    Ok(Ok(row.discarded != 0))
}
