//! Rows of attempts: begun by a claim, ended by a report, a loss or a hand-back.

use messages::{AttemptNumber, ErroredKind, Finished, JobId, Outcome, RunnerName, StepEnd};
use sqlx::QueryBuilder;

use crate::moves::Holder;
use crate::parking::EndCause;
use crate::rows::{attempt_word, to_count, to_json};
use crate::sql::pieces;
use crate::sqlite::Db;
use crate::transaction::Tx;
use crate::{AttemptState, ChangeSubject, LedgerError};

/// A whole row of `attempts`.
pub(crate) struct AttemptRow {
    job: String,
    holder: Holder,
    detail: String,
    steps: String,
    log: Option<(i64, String)>,
    cause: Option<EndCause>,
}

impl AttemptRow {
    /// An attempt that begins.
    pub(crate) fn begun(job: JobId, holder: Holder) -> Self {
        Self { job: job.to_string(), holder, detail: String::new(), steps: "[]".into(), log: None, cause: None }
    }

    /// An attempt that ended without a report.
    pub(crate) fn ended(job: JobId, holder: Holder, state: AttemptState, detail: &str) -> Self {
        let detail = detail.to_owned();
        Self {
            job: job.to_string(),
            holder: Holder { state, ..holder },
            detail,
            steps: "[]".into(),
            log: None,
            cause: None,
        }
    }

    /// An attempt whose report is here.
    pub(crate) fn reported(holder: Holder, report: &Finished) -> Result<Self, LedgerError> {
        Ok(Self {
            job: report.job.to_string(),
            holder: Holder { state: AttemptState::Finished, ..holder },
            detail: in_words(report),
            steps: to_json(&report.steps)?,
            log: Some((to_count(report.log_length), report.log_sha256.clone())),
            cause: match &report.outcome {
                // The absence of broker or dispatcher, told by the runner.
                Outcome::Errored { reason, worth_retrying: true } if reason.kind == ErroredKind::CutOff => {
                    Some(EndCause::Infrastructure)
                }
                Outcome::Errored { worth_retrying: true, .. } => Some(EndCause::Errored),
                _ => None,
            },
        })
    }

    /// What it counts towards.
    pub(crate) fn because(self, cause: EndCause) -> Self {
        Self { cause: Some(cause), ..self }
    }
}

/// Writes rows, new or known: one statement for many, because an update of many rows with different
/// values has no other form that both databases know.
pub(crate) async fn put(tx: &mut Tx, attempts: &[AttemptRow]) -> Result<(), LedgerError> {
    for attempt in attempts {
        // What a runner holds is shown with the runner.
        if let Ok(runner) = attempt.holder.runner.parse::<RunnerName>() {
            tx.touched.subject(&ChangeSubject::Runner(runner));
        }
    }
    for piece in pieces(attempts) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO attempts (job, number, token, runner, incarnation, state, detail, steps, started_at, \
             finished_at, log_length, log_sha256, cause) ",
        );
        query.push_values(piece, |mut row, attempt| {
            let holder = &attempt.holder;
            let ended = holder.state != AttemptState::Running;
            row.push_bind(attempt.job.clone())
                .push_bind(i64::from(holder.number.0))
                .push_bind(holder.token.clone())
                .push_bind(holder.runner.clone())
                .push_bind(holder.incarnation.clone())
                .push_bind(attempt_word(holder.state))
                .push_bind(attempt.detail.clone())
                .push_bind(attempt.steps.clone())
                .push_bind(holder.started_at)
                .push_bind(ended.then_some(tx.now))
                .push_bind(attempt.log.as_ref().map(|(length, _)| *length))
                .push_bind(attempt.log.as_ref().map(|(_, sha256)| sha256.clone()))
                .push_bind(attempt.cause.map(EndCause::as_str));
        });
        query.push(
            " ON CONFLICT (job, number) DO UPDATE SET state = excluded.state, detail = excluded.detail, \
             steps = excluded.steps, finished_at = excluded.finished_at, log_length = excluded.log_length, \
             log_sha256 = excluded.log_sha256, cause = excluded.cause",
        );
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}

/// How many stale reports are kept per job. A runner that repeats itself costs a count, not a row.
const STALE_PER_JOB: i64 = 20;

/// Keeps a report that may not decide anything.
pub(crate) async fn keep_stale(tx: &mut Tx, report: &Finished) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO stale_reports (job, attempt, runner, outcome, count, first_at, last_at) \
         SELECT $1, $2, $3, $4, 1, $5, $5 \
         WHERE (SELECT count(*) FROM stale_reports WHERE job = $1) < $6 \
         OR EXISTS (SELECT 1 FROM stale_reports WHERE job = $1 AND attempt = $2 AND runner = $3) \
         ON CONFLICT (job, attempt, runner) DO UPDATE SET count = stale_reports.count + 1, last_at = excluded.last_at",
    )
    .bind(report.job.to_string())
    .bind(i64::from(report.attempt.0))
    .bind(report.runner.as_str().to_owned())
    .bind(in_words(report))
    .bind(tx.now)
    .bind(STALE_PER_JOB)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Token and state of an attempt that is not the current one.
pub(crate) async fn older(
    tx: &mut Tx,
    job: JobId,
    number: AttemptNumber,
) -> Result<Option<(String, String)>, LedgerError> {
    Ok(sqlx::query_as("SELECT token, state FROM attempts WHERE job = $1 AND number = $2")
        .bind(job.to_string())
        .bind(i64::from(number.0))
        .fetch_optional(&mut tx.conn)
        .await?)
}

fn in_words(report: &Finished) -> String {
    let last = report.steps.last().map(|step| (report.steps.len(), step.end));
    match (&report.outcome, last) {
        (Outcome::Passed, _) => "passed".into(),
        // Every step that started is green: the next one did not start, and the job itself was in its way.
        (Outcome::Failed, Some((number, StepEnd::Exited { code: 0 }))) => {
            format!("step {} could not start: the steps before it left no directory to start in", number + 1)
        }
        (Outcome::Failed, Some((number, StepEnd::Exited { code }))) => format!("step {number} exited with {code}"),
        (Outcome::Failed, Some((number, StepEnd::Signalled { signal }))) => {
            format!("step {number} was ended by signal {signal}")
        }
        (Outcome::Failed, _) => "failed".into(),
        (Outcome::TimedOut { silence_seconds: Some(seconds) }, last) => {
            let step = last.map_or("it".to_owned(), |(number, _)| format!("step {number}"));
            format!("{step} was stopped after {seconds} s without output")
        }
        (Outcome::TimedOut { .. }, Some((number, _))) => format!("step {number} was stopped at the time limit"),
        (Outcome::TimedOut { .. }, None) => "stopped at the time limit".into(),
        (Outcome::Cancelled, _) => "cancelled".into(),
        (Outcome::Errored { reason, .. }, _) => reason.detail.clone(),
    }
}
