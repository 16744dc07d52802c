//! Answers "may I run this?": decide in one transaction, reply, ack.
//!
//! The answer goes out after the commit and before everything else: a slot stands idle until it is
//! there. A lost answer does no harm, for the same question gets the same answer.

use std::sync::Arc;

use broker::Delivery;
use messages::{AttemptToken, Claim, ClaimAnswer, DropReason, Envelope, MessageId};
use store::{ClaimDecision, ClaimRequest, LedgerError};
use tracing::{debug, error, info};
use uuid::Uuid;

use crate::desk::Desk;
use crate::leases::Proof;
use crate::mailbox::put_aside;
use crate::term::Halt;

pub(crate) async fn answer(desk: &Arc<Desk>, claims: Vec<(Delivery, Claim)>) -> Result<(), Halt> {
    if claims.is_empty() {
        return Ok(());
    }
    // A life that a newer one has followed is dead or about to be: nothing is started there any more.
    let (former, claims): (Vec<_>, Vec<_>) = {
        let board = desk.board();
        claims.into_iter().partition(|(_, claim)| board.roster.is_former(&claim.runner, claim.incarnation))
    };
    for (delivery, _) in former {
        reply(desk, delivery, ClaimAnswer::Drop { reason: DropReason::HeldElsewhere }).await;
    }
    match desk.ledger.claim(desk.epoch, claims.iter().map(|(_, claim)| request(claim)).collect()).await {
        Ok(decisions) => hand_out(desk, claims, decisions).await,
        // One of them meets something that does not fit: the others must not wait for it.
        Err(LedgerError::Inconsistent { .. }) => {
            for (delivery, claim) in claims {
                match desk.ledger.claim(desk.epoch, vec![request(&claim)]).await {
                    Ok(decisions) => hand_out(desk, vec![(delivery, claim)], decisions).await,
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
        // From the thread's generator, which is a cryptographic one that the system seeds.
        token: AttemptToken::from_random(rand::random()),
    }
}

async fn hand_out(desk: &Arc<Desk>, claims: Vec<(Delivery, Claim)>, decisions: Vec<ClaimDecision>) {
    let replies: Vec<_> = claims
        .into_iter()
        .zip(decisions)
        .map(|((delivery, claim), decision)| reply(desk, delivery, note(desk, &claim, decision)))
        .collect();
    futures::future::join_all(replies).await;
}

/// Brings the board in line with what the ledger decided.
fn note(desk: &Desk, claim: &Claim, decision: ClaimDecision) -> ClaimAnswer {
    let Claim { runner, job, .. } = claim;
    let mut board = desk.board();
    board.afloat.land(*job);
    match decision {
        ClaimDecision::Run { attempt, token } => {
            board.leases.grant(Proof { runner, job: *job, attempt, token: &token }, claim.incarnation);
            info!(%job, %attempt, %runner, "attempt started");
            ClaimAnswer::Run { attempt, token }
        }
        ClaimDecision::Drop(reason) => {
            debug!(%job, %runner, ?reason, redelivered = claim.redelivered, "copy dropped");
            ClaimAnswer::Drop { reason }
        }
    }
}

async fn reply(desk: &Desk, delivery: Delivery, answer: ClaimAnswer) {
    if let Ok(question) = &delivery.envelope {
        match Envelope::of(&answer, MessageId(Uuid::new_v4())) {
            Ok(mut envelope) => {
                envelope.correlation_id.clone_from(&question.correlation_id);
                if let Err(cause) = desk.broker.reply(question, envelope).await {
                    debug!(%cause, "claim not answered; it will come again");
                }
            }
            Err(cause) => error!(%cause, "an answer could not be packed"),
        }
    }
    delivery.ack().await;
}
