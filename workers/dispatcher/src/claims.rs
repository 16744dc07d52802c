//! Answers "may I run this?": decide in one transaction, reply, ack.
//!
//! The answer goes out after the commit and before everything else: a slot stands idle until it is
//! there. A lost answer does no harm, for the same question gets the same answer.

use std::sync::Arc;

use broker::Delivery;
use messages::{AttemptToken, Claim, ClaimAnswer, DropReason, Envelope, MessageId};
use seams::{Defect, chance, planted};
use store::{ClaimDecision, ClaimRequest, LedgerError};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::collect;
use crate::desk::Desk;
use crate::heralds::Heralds;
use crate::leases::{Proof, Terms};
use crate::mailbox::put_aside;
use crate::probes::Parked;
use crate::term::Halt;

pub(crate) async fn answer(desk: &Arc<Desk>, claims: Vec<(Delivery, Claim)>, heralds: &Heralds) -> Result<(), Halt> {
    if claims.is_empty() {
        return Ok(());
    }
    // A life that a newer one has followed is dead or about to be: nothing is started there any more.
    let (former, claims): (Vec<_>, Vec<_>) = {
        let board = desk.board();
        claims.into_iter().partition(|(_, claim)| {
            heralds.outdate(claim) || board.roster.is_former(&claim.runner, claim.incarnation, claim.birth)
        })
    };
    for (delivery, _) in former {
        if let Ok(question) = &delivery.envelope {
            reply(desk, question, ClaimAnswer::Drop { reason: DropReason::HeldElsewhere }).await;
        }
        delivery.ack().await;
    }
    match desk.ledger.claim(desk.epoch, claims.iter().map(|(_, claim)| request(claim)).collect()).await {
        Ok(decisions) => hand_out(desk, claims, decisions, heralds).await,
        // One of them meets something that does not fit: the others must not wait for it.
        Err(LedgerError::Inconsistent { .. }) => {
            for (delivery, claim) in claims {
                match desk.ledger.claim(desk.epoch, vec![request(&claim)]).await {
                    Ok(decisions) => hand_out(desk, vec![(delivery, claim)], decisions, heralds).await,
                    Err(cause @ LedgerError::Inconsistent { .. }) => put_aside(delivery, &cause.to_string()).await,
                    Err(cause) => return Err(cause.into()),
                }
            }
        }
        Err(cause) => return Err(cause.into()),
    }
    desk.wake_publisher();
    Ok(())
}

fn request(claim: &Claim) -> ClaimRequest {
    ClaimRequest {
        job: claim.job,
        runner: claim.runner.clone(),
        incarnation: claim.incarnation,
        token: AttemptToken::from_random(chance::secret()),
    }
}

async fn hand_out(desk: &Arc<Desk>, claims: Vec<(Delivery, Claim)>, decisions: Vec<ClaimDecision>, heralds: &Heralds) {
    let replies: Vec<_> = claims
        .into_iter()
        .zip(decisions)
        .map(async |((delivery, claim), decision)| {
            let decision = if planted(Defect::CopyWithoutProbe) && claim.redelivered {
                take_at_once(desk, &claim, decision).await
            } else {
                decision
            };
            if let Ok(question) = &delivery.envelope
                && !is_parked(desk, &claim, question, &decision)
            {
                reply(desk, question, note(desk, &claim, decision, heralds)).await;
            }
            // Also if its answer has to wait: a question without an answer is asked again.
            delivery.ack().await;
        })
        .collect();
    futures::future::join_all(replies).await;
}

/// The defect `CopyWithoutProbe`: whoever holds the job counts as gone.
async fn take_at_once(desk: &Desk, claim: &Claim, decision: ClaimDecision) -> ClaimDecision {
    let holder = desk.board().leases.holder_of(claim.job).map(|(attempt, _, _)| attempt);
    let Some(attempt) = holder.filter(|_| matches!(decision, ClaimDecision::Drop(DropReason::HeldElsewhere))) else {
        return decision;
    };
    let lost = collect::record_loss(desk, claim.job, attempt, store::LossCause::RunnerLost, "planted").await;
    let again = desk.ledger.claim(desk.epoch, vec![request(claim)]).await;
    lost.ok().and(again.ok()).and_then(|mut decisions| decisions.pop()).unwrap_or(decision)
}

/// Whether the answer waits until it is clear what has become of the job's holder.
fn is_parked(desk: &Desk, claim: &Claim, question: &Envelope, decision: &ClaimDecision) -> bool {
    if !matches!(decision, ClaimDecision::Drop(DropReason::HeldElsewhere)) {
        return false;
    }
    let parked = desk.board().park(claim, question, Instant::now());
    if claim.redelivered {
        desk.wake_prober();
    }
    parked
}

/// Answers claims that have waited. None of them waits again.
pub(crate) async fn answer_again(desk: &Arc<Desk>, parked: Vec<Parked>) -> Result<(), Halt> {
    let decisions =
        match desk.ledger.claim(desk.epoch, parked.iter().map(|parked| request(&parked.claim)).collect()).await {
            Ok(decisions) => decisions,
            Err(cause @ LedgerError::Inconsistent { .. }) => {
                // They are asked again, one by one or with others.
                error!(%cause, "claims that waited are not answered");
                return Ok(());
            }
            Err(cause) => return Err(cause.into()),
        };
    let replies: Vec<_> = parked
        .into_iter()
        .zip(decisions)
        .map(async |(parked, decision)| {
            reply(desk, &parked.question, note(desk, &parked.claim, decision, &Heralds::default())).await;
        })
        .collect();
    futures::future::join_all(replies).await;
    Ok(())
}

/// Brings the board in line with what the ledger decided.
fn note(desk: &Desk, claim: &Claim, decision: ClaimDecision, heralds: &Heralds) -> ClaimAnswer {
    let Claim { runner, job, .. } = claim;
    let mut board = desk.board();
    board.afloat.land(*job);
    match decision {
        ClaimDecision::Run { attempt, token, exclusive } => {
            let is_known =
                board.caught_up || heralds.name(claim.incarnation) || board.roster.is_heard(runner, claim.incarnation);
            let proof = Proof { runner, job: *job, attempt, token: &token };
            board.leases.grant(proof, claim.incarnation, Terms { is_known, exclusive });
            info!(%job, %attempt, %runner, "attempt started");
            ClaimAnswer::Run { attempt, token }
        }
        ClaimDecision::Drop(reason) => {
            if reason == DropReason::Unknown {
                warn!(%job, %runner, "a job that the ledger does not know was dropped: was the ledger restored from a copy?");
            }
            debug!(%job, %runner, ?reason, redelivered = claim.redelivered, "copy dropped");
            ClaimAnswer::Drop { reason }
        }
    }
}

async fn reply(desk: &Desk, question: &Envelope, answer: ClaimAnswer) {
    match Envelope::of(&answer, MessageId(chance::id())) {
        Ok(mut envelope) => {
            envelope.correlation_id.clone_from(&question.correlation_id);
            if let Err(cause) = desk.broker.reply(question, envelope).await {
                debug!(%cause, "claim not answered; it will come again");
            }
        }
        Err(cause) => error!(%cause, "an answer could not be packed"),
    }
}
