//! A person asks for the end of a job or a build.

use messages::{BuildId, JobId};
use seams::chance;

use crate::LedgerError;
use crate::lifecycle::JobEvent;
use crate::moves::{self, JobRow};
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::release;

/// [`crate::Ledger::cancel_job`].
pub(crate) struct CancelJob {
    pub(crate) job: JobId,
    pub(crate) who: String,
}

/// [`crate::Ledger::cancel_build`].
pub(crate) struct CancelBuild {
    pub(crate) build: BuildId,
    pub(crate) who: String,
}

impl Write for CancelJob {
    type Answer = bool;

    async fn run(&mut self, tx: &mut Tx) -> Result<bool, LedgerError> {
        let jobs = moves::load_one(tx, self.job).await?.into_iter().collect();
        let changed = cancel(tx, jobs).await?;
        if changed {
            note_order(tx, &self.who, "cancel_job", &self.job.to_string()).await?;
        }
        Ok(changed)
    }
}

impl Write for CancelBuild {
    type Answer = bool;

    async fn run(&mut self, tx: &mut Tx) -> Result<bool, LedgerError> {
        let jobs = moves::load_open(tx, self.build).await?;
        let changed = cancel(tx, jobs).await?;
        if changed {
            note_order(tx, &self.who, "cancel_build", &self.build.to_string()).await?;
        }
        Ok(changed)
    }
}

/// All of them first, then what follows: a job behind a cancelled one of the same order is cancelled too,
/// not skipped.
async fn cancel(tx: &mut Tx, mut jobs: Vec<JobRow>) -> Result<bool, LedgerError> {
    let mut steps = Vec::new();
    for job in &mut jobs {
        let before = job.state;
        // A job that is done cannot be cancelled; one that is being cancelled already does not change.
        if let Ok(step) = job.step(&JobEvent::CancelAsked, None)
            && job.state != before
        {
            steps.push(step);
        }
    }
    moves::save(tx, &steps).await?;
    let changed = !steps.is_empty();
    release::dependants(tx, steps.into_iter().map(|step| step.job).collect()).await?;
    Ok(changed)
}

/// Keeps who asked for what.
pub(crate) async fn note_order(tx: &mut Tx, who: &str, action: &'static str, target: &str) -> Result<(), LedgerError> {
    let who: String = who.chars().take(200).collect();
    sqlx::query("INSERT INTO orders (id, at, who, action, target) VALUES ($1, $2, $3, $4, $5)")
        .bind(chance::ordered_id().to_string())
        .bind(tx.now)
        .bind(who)
        .bind(action)
        .bind(target.to_owned())
        .execute(&mut tx.conn)
        .await?;
    Ok(())
}
