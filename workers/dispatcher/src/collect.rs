//! Records how attempts ended: by a report, by hand-back, or by loss.
//!
//! Only the current attempt changes a job; the ledger sees to that. What is settled is noted on the
//! board, so that the runner hears the same until it has forgotten the attempt.

use std::sync::Arc;

use broker::Delivery;
use messages::{AttemptNumber, AttemptOrder, Finished, HandBack, JobId, Order, RunnerName};
use seams::{Defect, planted};
use store::{LedgerError, LossCause, Recording, Requeue};
use tracing::{error, info, warn};

use crate::desk::Desk;
use crate::logbook::End;
use crate::mailbox::{ack_all, put_aside};
use crate::settled::AttemptKey;
use crate::term::Halt;

/// Records reports in one transaction; acks after it.
pub(crate) async fn record(desk: &Arc<Desk>, reports: Vec<(Delivery, Finished)>) -> Result<(), Halt> {
    if reports.is_empty() {
        return Ok(());
    }
    let mut reports = reports;
    if planted(Defect::ResultAckedBeforeLedger) {
        for (delivery, _) in &mut reports {
            delivery.ack_early().await;
        }
    }
    match desk.ledger.finish(desk.epoch, reports.iter().map(|(_, report)| report.clone()).collect()).await {
        Ok(recordings) => settle(desk, reports, recordings).await,
        // One of them does not fit: the others must not wait for it.
        Err(LedgerError::Inconsistent { .. }) => {
            for (delivery, report) in reports {
                match desk.ledger.finish(desk.epoch, vec![report.clone()]).await {
                    Ok(recordings) => settle(desk, vec![(delivery, report)], recordings).await,
                    Err(cause @ LedgerError::Inconsistent { .. }) => put_aside(delivery, &cause.to_string()).await,
                    Err(cause) => return Err(cause.into()),
                }
            }
        }
        Err(cause) => return Err(cause.into()),
    }
    Ok(())
}

async fn settle(desk: &Arc<Desk>, reports: Vec<(Delivery, Finished)>, recordings: Vec<Recording>) {
    let mut done = Vec::with_capacity(reports.len());
    for ((delivery, report), recording) in reports.into_iter().zip(recordings) {
        let attempt = (report.job, report.attempt);
        match recording {
            Recording::Recorded | Recording::Again => {
                let outcome = &report.outcome;
                info!(job = %report.job, attempt = %report.attempt, runner = %report.runner, ?outcome, ?recording, "attempt ended");
                {
                    let mut board = desk.board();
                    board.leases.end(report.job, report.attempt);
                    board.settled.note(attempt, Order::Recorded);
                    board.logbook.ended(attempt, end_of(report));
                }
                // The runner is told `recorded` when its log is whole, too.
                desk.check_log(attempt);
            }
            Recording::Unknown => {
                let outcome = &report.outcome;
                warn!(job = %report.job, attempt = %report.attempt, runner = %report.runner, ?outcome, "a report about an attempt that the ledger does not know was dropped: was the ledger restored from a copy?");
                refuse(desk, &report.runner, attempt);
            }
            Recording::Stale => {
                warn!(job = %report.job, attempt = %report.attempt, runner = %report.runner, ?recording, "late report; kept as history");
                refuse(desk, &report.runner, attempt);
            }
        }
        done.push(delivery);
    }
    // Before the acks: a slot is free now.
    desk.wake_publisher();
    ack_all(done).await;
}

fn end_of(report: Finished) -> End {
    End {
        runner: report.runner,
        token: report.token,
        length: report.log_length,
        sha256: report.log_sha256,
        test_pieces: report.test_pieces,
    }
}

/// Tells a runner to forget an attempt that is not current. A report that only pretends to come from the
/// holder of the current attempt must not end it: then nothing is said.
fn refuse(desk: &Desk, runner: &RunnerName, attempt: AttemptKey) {
    let order = {
        let mut board = desk.board();
        if board.leases.is_current(attempt) {
            return;
        }
        let known = board.settled.order(attempt);
        if known.is_none() {
            board.settled.note(attempt, Order::Void);
        }
        known.unwrap_or(Order::Void)
    };
    desk.order(runner, AttemptOrder { job: attempt.0, attempt: attempt.1, order, log_from: None });
}

/// Runners give attempts back: their jobs are queued again and the attempts are not counted.
pub(crate) async fn take_back(desk: &Arc<Desk>, hand_backs: Vec<(Delivery, HandBack)>) -> Result<(), Halt> {
    for (delivery, HandBack { runner, job, attempt, token }) in hand_backs {
        match desk.ledger.hand_back(desk.epoch, job, attempt, token).await {
            Ok(Requeue::Stale) => refuse(desk, &runner, (job, attempt)),
            Ok(outcome) => {
                info!(%job, %attempt, %runner, ?outcome, "attempt handed back");
                {
                    let mut board = desk.board();
                    board.leases.end(job, attempt);
                    board.logbook.close((job, attempt));
                    board.settled.note((job, attempt), Order::Recorded);
                }
                desk.order(&runner, AttemptOrder { job, attempt, order: Order::Recorded, log_from: None });
                desk.wake_publisher_for_new_jobs();
            }
            Err(cause @ LedgerError::Inconsistent { .. }) => {
                put_aside(delivery, &cause.to_string()).await;
                continue;
            }
            Err(cause) => return Err(cause.into()),
        }
        ack_all([delivery]).await;
    }
    Ok(())
}

/// An attempt is lost: its job is queued again, or ends at a cap.
pub(crate) async fn lose(
    desk: &Arc<Desk>,
    job: JobId,
    attempt: AttemptNumber,
    cause: LossCause,
    detail: &str,
) -> Result<(), Halt> {
    record_loss(desk, job, attempt, cause, detail).await?;
    desk.wake_publisher_for_new_jobs();
    Ok(())
}

/// [`lose`] without waking the publisher: somebody waits for the job already.
pub(crate) async fn record_loss(
    desk: &Desk,
    job: JobId,
    attempt: AttemptNumber,
    cause: LossCause,
    detail: &str,
) -> Result<(), Halt> {
    {
        let mut board = desk.board();
        board.leases.end(job, attempt);
        board.logbook.close((job, attempt));
    }
    match desk.ledger.lose(desk.epoch, job, attempt, cause, detail).await {
        Ok(outcome) => warn!(%job, %attempt, ?cause, ?outcome, detail, "attempt lost"),
        Err(fault @ LedgerError::Inconsistent { .. }) => error!(%job, %attempt, %fault, "a loss was not recorded"),
        Err(fault) => return Err(fault.into()),
    }
    Ok(())
}
