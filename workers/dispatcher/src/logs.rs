//! Writes log chunks to the log files and test results to the ledger, and sees whether those of ended attempts
//! are whole.
//!
//! Never gates a verdict and never stops for a fault of its own: a chunk that was not written is asked
//! for again, and the runner has the whole log until it is answered `recorded` without a byte to send.

use std::sync::Arc;

use broker::{Delivery, Queue};
use messages::{AttemptOrder, Envelope, LogChunk, Message, Order, RunnerName, TestResults};
use store::Recording;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::desk::Desk;
use crate::mailbox::{Mail, Mailbox, ack_all, put_aside};
use crate::settled::AttemptKey;
use crate::term::Halt;

/// At most 32 MiB of chunks in hand.
const BATCH: u16 = 128;

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut mailbox = Mailbox::open(&desk.broker, Queue::Logs, BATCH);
    // A full disk is told once and not for each chunk.
    let mut disk_is_well = true;
    loop {
        match mailbox.next(&desk.stop).await? {
            Mail::Stopped => return Ok(()),
            Mail::Resumed => {}
            Mail::Batch(batch) => {
                for delivery in batch {
                    write(&desk, delivery, &mut disk_is_well).await;
                }
            }
        }
    }
}

async fn write(desk: &Arc<Desk>, delivery: Delivery, disk_is_well: &mut bool) {
    if delivery.envelope.as_ref().is_ok_and(|envelope| envelope.kind == TestResults::KIND) {
        return tests(desk, delivery).await;
    }
    let chunk = match delivery.envelope.as_ref().map_err(Clone::clone).and_then(LogChunk::from_envelope) {
        Ok(chunk) => chunk,
        Err(cause) => return put_aside(delivery, &cause.to_string()).await,
    };
    let attempt = (chunk.job, chunk.attempt);
    let holder = {
        let board = desk.board();
        let runs = board.leases.holder(chunk.job, chunk.attempt, &chunk.token);
        runs.or_else(|| board.logbook.awaits(attempt, &chunk.token)).cloned()
    };
    match holder {
        Some(holder) => append(desk, &holder, chunk, disk_is_well).await,
        None => debug!(job = %attempt.0, attempt = %attempt.1, "log of no current attempt"),
    }
    ack_all([delivery]).await;
}

/// Records a piece of test results. What the ledger cannot take now is asked for again, like a lost chunk.
async fn tests(desk: &Arc<Desk>, delivery: Delivery) {
    let results = match delivery.envelope.as_ref().map_err(Clone::clone).and_then(Envelope::open::<TestResults>) {
        Ok(results) => results,
        Err(cause) => return put_aside(delivery, &cause.to_string()).await,
    };
    let (attempt, piece) = ((results.job, results.attempt), results.piece);
    match desk.ledger.record_tests(desk.epoch, results).await {
        Ok(recording @ (Recording::Recorded | Recording::Again)) => {
            debug!(job = %attempt.0, attempt = %attempt.1, piece, ?recording, "test results");
            if desk.board().logbook.tested(attempt, piece) {
                desk.check_log(attempt);
            }
        }
        Ok(recording) => {
            debug!(job = %attempt.0, attempt = %attempt.1, ?recording, "test results of no current attempt");
        }
        Err(cause) => {
            warn!(job = %attempt.0, attempt = %attempt.1, %cause, "test results not recorded; the runner keeps them");
        }
    }
    ack_all([delivery]).await;
}

async fn append(desk: &Desk, holder: &RunnerName, chunk: LogChunk, disk_is_well: &mut bool) {
    let LogChunk { job, attempt, offset, bytes, token: _ } = chunk;
    let length = match desk.ledger.logs().append(job, attempt, offset, bytes).await {
        Ok(state) => state.length,
        Err(cause) => {
            if std::mem::replace(disk_is_well, false) {
                warn!(%cause, "log chunks are not written; runners keep them");
            }
            return;
        }
    };
    *disk_is_well = true;
    let (gap, order, whole) = {
        let mut board = desk.board();
        let gap = board.logbook.grew((job, attempt), offset, length);
        match board.logbook.end_of((job, attempt)) {
            Some(end) => (gap, Order::Recorded, length >= end.length),
            None => (gap, Order::Continue, false),
        }
    };
    if whole {
        desk.check_log((job, attempt));
    } else if gap {
        // At once, for somebody may be watching the log; the next beat's answer would be seconds later.
        desk.order(holder, AttemptOrder { job, attempt, order, log_from: Some(length) });
    }
}

/// Checks logs of ended attempts. A part of its own: hashing a long log must not hold up the short ones.
pub(crate) async fn check(desk: Arc<Desk>, mut checks: mpsc::Receiver<AttemptKey>) -> Result<(), Halt> {
    loop {
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            attempt = checks.recv() => match attempt {
                Some(attempt) => check_one(&desk, attempt).await,
                None => return Ok(()),
            },
        }
    }
}

async fn check_one(desk: &Desk, (job, attempt): AttemptKey) {
    let Some(end) = desk.board().logbook.end_of((job, attempt)).cloned() else { return };
    let logs = desk.ledger.logs();
    let checked = async {
        let state = logs.state(job, attempt).await?;
        // More of it is on its way, or the next beat's answer asks for it.
        let whole = state.length >= end.length && logs.complete(job, attempt, end.length, &end.sha256).await?;
        Ok::<_, store::LogError>((state.length, whole))
    };
    let log_from = match checked.await {
        Ok((_, true)) => {
            let mut board = desk.board();
            // The runner must keep them: its next beat is answered with the question for them.
            if !board.logbook.has_tests((job, attempt)) {
                return;
            }
            board.logbook.close((job, attempt));
            None
        }
        Ok((length, false)) if length < end.length => {
            desk.board().logbook.measured((job, attempt), length);
            return;
        }
        Ok((_, false)) => {
            warn!(%job, %attempt, "the log is not what the runner wrote; it is sent again");
            desk.board().logbook.measured((job, attempt), 0);
            Some(0)
        }
        Err(cause) => return warn!(%job, %attempt, %cause, "cannot check the log"),
    };
    desk.order(&end.runner, AttemptOrder { job, attempt, order: Order::Recorded, log_from });
}
