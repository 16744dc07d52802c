//! May this runner run this job? The answer and the attempt it creates are one transaction.

use messages::{AttemptToken, DropReason};

use crate::ledger::ClaimRequest;
use crate::lifecycle::{JobEvent, JobState};
use crate::moves::{self, Holder, JobRow, Move};
use crate::rows::parse;
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::attempts::{self, AttemptRow};
use crate::{AttemptState, ClaimDecision, LedgerError};

/// [`crate::Ledger::claim`].
pub(crate) struct Claim(pub(crate) Vec<ClaimRequest>);

impl Write for Claim {
    type Answer = Vec<ClaimDecision>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        let ids: Vec<_> = self.0.iter().map(|claim| claim.job).collect();
        let mut jobs = moves::load(tx, &ids).await?;
        let (mut steps, mut begun, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for claim in &self.0 {
            let Some(job) = jobs.get_mut(&claim.job) else {
                answers.push(ClaimDecision::Drop(DropReason::Unknown));
                continue;
            };
            answers.push(match decide(job, claim, tx.now) {
                Ok(Decision::Answer(answer)) => answer,
                Ok(Decision::Begin(step, holder)) => {
                    let (attempt, token) = (holder.number, claim.token.clone());
                    let answer = ClaimDecision::Run { attempt, token, exclusive: job.exclusive };
                    steps.push(*step);
                    begun.push(AttemptRow::begun(job.id, holder));
                    answer
                }
                Err(cause) => {
                    // One row that makes no sense must not stop the claims that came with it.
                    tracing::error!(job = %claim.job, %cause, "claim refused");
                    ClaimDecision::Drop(DropReason::Unknown)
                }
            });
        }
        moves::save(tx, &steps).await?;
        attempts::put(tx, &begun).await?;
        Ok(answers)
    }
}

enum Decision {
    Begin(Box<Move>, Holder),
    Answer(ClaimDecision),
}

/// The rule. A question that was answered is answered the same way again, to the same life of the same runner.
fn decide(job: &mut JobRow, claim: &ClaimRequest, now: i64) -> Result<Decision, LedgerError> {
    Ok(Decision::Answer(match (job.state, &job.holder) {
        (JobState::Queued, _) => return begin(job, claim, now),
        (JobState::Waiting, _) => ClaimDecision::Drop(DropReason::NotQueued),
        (JobState::Done(_), _) => ClaimDecision::Drop(DropReason::Finished),
        (JobState::Running { attempt, .. }, Some(holder))
            if holder.runner == claim.runner.as_str() && holder.incarnation == claim.incarnation.to_string() =>
        {
            ClaimDecision::Run { attempt, token: parse::<AttemptToken>(&holder.token)?, exclusive: job.exclusive }
        }
        (JobState::Running { .. }, _) => ClaimDecision::Drop(DropReason::HeldElsewhere),
    }))
}

fn begin(job: &mut JobRow, claim: &ClaimRequest, now: i64) -> Result<Decision, LedgerError> {
    let attempt = job.attempt.next();
    let holder = Holder {
        number: attempt,
        token: claim.token.expose(),
        runner: claim.runner.to_string(),
        incarnation: claim.incarnation.to_string(),
        state: AttemptState::Running,
        started_at: now,
    };
    let step = job.step(&JobEvent::Started { attempt }, None).map_err(crate::rows::odd)?;
    // A second claim of the same batch sees this one.
    job.holder = Some(holder.clone());
    Ok(Decision::Begin(Box::new(step), holder))
}
