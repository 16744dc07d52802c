//! How attempts ended: the verdict of the current attempt counts, every other one is history.

use messages::{AttemptNumber, ErroredKind, ErroredReason, Finished, Outcome, Verdict};

use seams::{Defect, planted};

use crate::lifecycle::{JobEvent, JobState};
use crate::moves::{self, JobRow, Move};
use crate::parking::{EndCause, MOST_ROUNDS, most_errored};
use crate::rows::{attempt_word, odd};
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::attempts::{self, AttemptRow};
use crate::writes::lose::cap;
use crate::writes::release;
use crate::{AttemptState, LedgerError, Recording, Report};

/// [`crate::Ledger::finish`].
pub(crate) struct Finish(pub(crate) Vec<Report>);

impl Write for Finish {
    type Answer = Vec<Recording>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        let ids: Vec<_> = self.0.iter().map(|report| report.job).collect();
        let mut jobs = moves::load(tx, &ids).await?;
        let (mut steps, mut ended, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for report in &self.0 {
            let answer = match jobs.get_mut(&report.job) {
                None => Recording::Unknown,
                Some(job) => match place(tx, job, report).await? {
                    Place::Current => match record(job, report) {
                        Ok((step, row)) => {
                            steps.push(step);
                            ended.push(row);
                            Recording::Recorded
                        }
                        Err(cause) => {
                            // One row that makes no sense must not stop the reports that came with it.
                            tracing::error!(job = %report.job, %cause, "report left alone");
                            Recording::Unknown
                        }
                    },
                    Place::Answer(answer) => answer,
                },
            };
            if answer == Recording::Stale {
                attempts::keep_stale(tx, report).await?;
            }
            answers.push(answer);
        }
        moves::save(tx, &steps).await?;
        attempts::put(tx, &ended).await?;
        release::dependants(tx, steps.into_iter().map(|step| step.job).collect()).await?;
        Ok(answers)
    }
}

enum Place {
    Current,
    Answer(Recording),
}

/// Where the report belongs.
async fn place(tx: &mut Tx, job: &JobRow, report: &Finished) -> Result<Place, LedgerError> {
    let current = job.holder.as_ref().filter(|holder| holder.number == report.attempt);
    let (token, state) = match current {
        Some(holder) => (holder.token.clone(), attempt_word(holder.state).to_owned()),
        None => match attempts::older(tx, job.id, report.attempt).await? {
            Some(attempt) => attempt,
            None => return Ok(Place::Answer(Recording::Unknown)),
        },
    };
    if token != report.token.expose() && !planted(Defect::TokenUnchecked) {
        return Ok(Place::Answer(Recording::Stale));
    }
    if state == attempt_word(AttemptState::Finished) {
        return Ok(Place::Answer(Recording::Again));
    }
    let any = planted(Defect::NumberUnchecked);
    let runs = matches!(job.state, JobState::Running { attempt, .. } if any || attempt == report.attempt);
    Ok(if runs && (any || current.is_some()) { Place::Current } else { Place::Answer(Recording::Stale) })
}

/// Another attempt as long as the pipeline wants one and the cap of all attempts is not near.
fn again_or_finished(job: &mut JobRow, attempt: AttemptNumber, verdict: Verdict) -> JobEvent {
    let (count, most) = match verdict {
        Verdict::Failed => (&mut job.counts.failed, job.policy.retry.failed),
        _ => (&mut job.counts.timed_out, job.policy.retry.timed_out),
    };
    if *count >= i64::from(most) || job.counts.rounds + 1 >= MOST_ROUNDS {
        return JobEvent::Finished { attempt, verdict };
    }
    *count += 1;
    job.counts.rounds += 1;
    JobEvent::TryAgain { attempt, verdict }
}

fn record(job: &mut JobRow, report: &Finished) -> Result<(Move, AttemptRow), LedgerError> {
    let holder = job.holder.clone().ok_or_else(|| odd("a running job without an attempt"))?;
    let attempt = holder.number;
    let finished = |verdict| JobEvent::Finished { attempt, verdict };
    let (event, reason) = match &report.outcome {
        Outcome::Passed => (finished(Verdict::Passed), None),
        Outcome::Failed => (again_or_finished(job, attempt, Verdict::Failed), None),
        Outcome::TimedOut { .. } => (again_or_finished(job, attempt, Verdict::TimedOut), None),
        Outcome::Cancelled => (finished(Verdict::Cancelled), None),
        Outcome::Errored { reason, worth_retrying: false } => (finished(Verdict::Errored), Some(reason.clone())),
        Outcome::Errored { reason, worth_retrying: true } => {
            // Broker or dispatcher were away, and the job could not wait: only the cap of ten counts that.
            if reason.kind != ErroredKind::CutOff {
                job.counts.errored += 1;
            }
            job.counts.rounds += 1;
            if job.counts.errored >= most_errored(&job.policy) {
                (JobEvent::CapReached { attempt }, Some(reason.clone()))
            } else if job.counts.rounds >= MOST_ROUNDS {
                let detail = format!("ended without a verdict {MOST_ROUNDS} times, the last time: {}", reason.detail);
                let reason = ErroredReason { kind: ErroredKind::TooManyAttempts, detail: cap(detail) };
                (JobEvent::CapReached { attempt }, Some(reason))
            } else {
                (JobEvent::RetryAfterError { attempt }, None)
            }
        }
    };
    let step = job.step(&event, reason).map_err(odd)?;
    // A repeat in the same batch sees this one.
    if let Some(holder) = &mut job.holder {
        holder.state = AttemptState::Finished;
    }
    let row = AttemptRow::reported(holder, report)?;
    let again = matches!(event, JobEvent::TryAgain { .. });
    Ok((step, if again { row.because(EndCause::TriedAgain) } else { row }))
}
