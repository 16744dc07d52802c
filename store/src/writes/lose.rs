//! Attempts that ended without a report: lost, or handed back.

use messages::{AttemptNumber, AttemptToken, ErroredKind, ErroredReason, JobId};
use seams::{Defect, planted};

use crate::lifecycle::{JobEvent, JobState};
use crate::moves::{self, Holder, JobRow};
use crate::parking::{EndCause, MOST_LOST, MOST_ROUNDS};
use crate::rows::odd;
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::attempts::{self, AttemptRow};
use crate::writes::release;
use crate::{AttemptState, LedgerError, LossCause, Requeue};

/// The longest reason, in bytes.
const REASON_BYTES: usize = 4096;

/// [`crate::Ledger::lose`].
pub(crate) struct Lose {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) cause: LossCause,
    pub(crate) detail: String,
}

/// [`crate::Ledger::hand_back`].
pub(crate) struct HandBack {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) token: AttemptToken,
}

impl Write for Lose {
    type Answer = Requeue;

    async fn run(&mut self, tx: &mut Tx) -> Result<Requeue, LedgerError> {
        let attempt = self.attempt;
        let Some((mut job, holder)) = current(tx, self.job, attempt).await? else {
            return Ok(Requeue::Stale);
        };
        job.counts.rounds += 1;
        if self.cause == LossCause::RunnerLost && !planted(Defect::LossUncounted) {
            job.counts.lost += 1;
        }
        let (event, reason) = if job.counts.lost >= MOST_LOST && self.cause == LossCause::RunnerLost {
            let head = format!("runner lost {MOST_LOST} times");
            (JobEvent::CapReached { attempt }, Some((ErroredKind::RunnerLost, head)))
        } else if job.counts.rounds >= MOST_ROUNDS {
            let head = format!("ended without a verdict {MOST_ROUNDS} times");
            (JobEvent::CapReached { attempt }, Some((ErroredKind::TooManyAttempts, head)))
        } else {
            (JobEvent::Lost { attempt }, None)
        };
        let reason = match reason {
            None => None,
            Some((kind, head)) => {
                let earlier = evidence(tx, self.job).await?;
                let last = line(attempt, &holder.runner, "lost", &self.detail);
                Some(ErroredReason { kind, detail: cap([vec![head], earlier, vec![last]].concat().join("\n")) })
            }
        };
        let row = AttemptRow::ended(self.job, holder, AttemptState::Lost, &self.detail).because(match self.cause {
            LossCause::RunnerLost => EndCause::RunnerLost,
            LossCause::Infrastructure => EndCause::Infrastructure,
        });
        end(tx, job, &event, reason, row).await
    }
}

impl Write for HandBack {
    type Answer = Requeue;

    async fn run(&mut self, tx: &mut Tx) -> Result<Requeue, LedgerError> {
        let attempt = self.attempt;
        match current(tx, self.job, attempt).await? {
            Some((mut job, holder)) if holder.token == self.token.expose() => {
                job.counts.rounds += i64::from(planted(Defect::HandBackCounted));
                let row = AttemptRow::ended(self.job, holder, AttemptState::HandedBack, "handed back");
                end(tx, job, &JobEvent::HandedBack { attempt }, None, row).await
            }
            _ => Ok(Requeue::Stale),
        }
    }
}

/// The job, if this attempt of it runs.
async fn current(tx: &mut Tx, id: JobId, of: AttemptNumber) -> Result<Option<(JobRow, Holder)>, LedgerError> {
    let Some(job) = moves::load_one(tx, id).await? else { return Ok(None) };
    let runs = matches!(job.state, JobState::Running { attempt, .. } if attempt == of);
    Ok(job.holder.clone().filter(|_| runs).map(|holder| (job, holder)))
}

async fn end(
    tx: &mut Tx,
    mut job: JobRow,
    event: &JobEvent,
    reason: Option<ErroredReason>,
    row: AttemptRow,
) -> Result<Requeue, LedgerError> {
    let step = job.step(event, reason).map_err(odd)?;
    moves::save(tx, &[step]).await?;
    if planted(Defect::LostWithoutOutbox) {
        sqlx::query("DELETE FROM outbox WHERE job = $1").bind(job.id.to_string()).execute(&mut tx.conn).await?;
    }
    attempts::put(tx, &[row]).await?;
    let state = job.state;
    release::dependants(tx, vec![job]).await?;
    Ok(match state {
        JobState::Done(verdict) => Requeue::Ended(verdict),
        _ => Requeue::Queued,
    })
}

/// What became of the attempts before, a line each.
async fn evidence(tx: &mut Tx, job: JobId) -> Result<Vec<String>, LedgerError> {
    let rows: Vec<(i64, String, String, String)> = sqlx::query_as(
        "SELECT number, runner, state, detail FROM attempts WHERE job = $1 AND state IN ('lost', 'finished') \
         ORDER BY number",
    )
    .bind(job.to_string())
    .fetch_all(&mut tx.conn)
    .await?;
    Ok(rows.into_iter().map(|(number, runner, state, detail)| line(number, &runner, &state, &detail)).collect())
}

fn line(number: impl std::fmt::Display, runner: &str, state: &str, detail: &str) -> String {
    // One attempt must not push the others out of the reason.
    let detail: String = detail.chars().take(300).collect();
    format!("attempt {number} on {runner}: {state}: {detail}")
}

/// Cuts a reason to its longest form, between characters.
pub(crate) fn cap(mut detail: String) -> String {
    detail.truncate(detail.floor_char_boundary(REASON_BYTES));
    detail
}
