//! Answers beats: what a runner lists is renewed, and it hears what becomes of each attempt.
//!
//! [`judge`] decides from the board alone; the rest carries it out. The list of a beat is complete, but
//! it was written before it was read: an attempt that a beat of the same life does not list is not
//! renewed and nothing more, since its claim may have been answered meanwhile. If it stays away, its
//! lease ends it. Only what a former life left behind is void at once.

use std::sync::Arc;

use broker::{Delivery, Topic};
use messages::{AttemptOrder, Beat, BeatAnswer, Order};
use store::{LedgerError, LossCause, RunnerSeen};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::board::Board;
use crate::collect;
use crate::desk::Desk;
use crate::leases::Proof;
use crate::logbook::Want;
use crate::mailbox::ack_all;
use crate::roster::Heard;
use crate::settled::AttemptKey;
use crate::term::Halt;

/// What follows from a beat.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) heard: Heard,
    pub(crate) answer: BeatAnswer,
    /// Attempts of former lives that this one does not have.
    pub(crate) lost: Vec<(AttemptKey, LossCause)>,
    /// Logs that may be whole.
    pub(crate) check: Vec<AttemptKey>,
}

/// Decides what follows from a beat, and notes it on the board.
pub(crate) fn judge(board: &mut Board, beat: &Beat, now: Instant) -> Judgement {
    let heard = board.roster.hear(beat);
    let answer =
        BeatAnswer { incarnation: beat.incarnation, sequence: beat.sequence, orders: Vec::new(), drain: false };
    let mut judgement = Judgement { heard, answer, lost: Vec::new(), check: Vec::new() };
    match heard {
        Heard::Late => {}
        Heard::Former => {
            let void = |running: &messages::RunningAttempt| AttemptOrder {
                job: running.job,
                attempt: running.attempt,
                order: Order::Void,
                log_from: None,
            };
            judgement.answer.orders = beat.running.iter().map(void).collect();
        }
        Heard::Now | Heard::NewLife => {
            board.takeover.heard(&beat.runner, beat.incarnation, now);
            board.add_pool(&beat.pool);
            go_through(board, beat, &mut judgement);
            if heard == Heard::NewLife {
                judgement.lost = board.leases.left_behind(&beat.runner, beat.incarnation);
            }
        }
    }
    judgement
}

fn go_through(board: &mut Board, beat: &Beat, judgement: &mut Judgement) {
    let runner = &beat.runner;
    for listed in &beat.running {
        let (job, attempt) = (listed.job, listed.attempt);
        let proof = Proof { runner, job, attempt, token: &listed.token };
        if let Some(lease) = board.leases.renew(proof, beat.incarnation) {
            let order = if lease.cancelling { Order::Cancel } else { Order::Continue };
            let log_from = match board.logbook.listed((job, attempt), listed.log_sent) {
                Want::From(byte) => Some(byte),
                Want::Nothing | Want::Coming | Want::Check | Want::Tests => None,
            };
            judgement.answer.orders.push(AttemptOrder { job, attempt, order, log_from });
        } else {
            settled(board, (job, attempt), listed.log_sent, Order::Void, judgement);
        }
    }
    for listed in &beat.finished {
        let (job, attempt) = (listed.job, listed.attempt);
        let proof = Proof { runner, job, attempt, token: &listed.token };
        if board.leases.renew(proof, beat.incarnation).is_some() {
            // Its result has not arrived.
            judgement.answer.orders.push(AttemptOrder { job, attempt, order: Order::Continue, log_from: None });
        } else {
            // Not in memory: the runner sends its result again, and the ledger will know.
            settled(board, (job, attempt), listed.log_sent, Order::Continue, judgement);
        }
    }
    for held in &beat.held {
        board.leases.renew_held(held.job, runner, beat.incarnation);
    }
}

/// The order for an attempt that is not current. None at all while its result is recorded and its log is
/// still arriving: a runner keeps what it has no order for.
fn settled(board: &mut Board, attempt: AttemptKey, sent: u64, unknown: Order, judgement: &mut Judgement) {
    let (job, number) = attempt;
    let (order, log_from) = if board.logbook.end_of(attempt).is_some() {
        match board.logbook.listed(attempt, sent) {
            Want::From(byte) => (Order::Recorded, Some(byte)),
            // They come with the result when it is asked for again.
            Want::Tests => (Order::Continue, None),
            Want::Check => return judgement.check.push(attempt),
            Want::Coming | Want::Nothing => return,
        }
    } else {
        (board.settled.order(attempt).unwrap_or(unknown), None)
    };
    judgement.answer.orders.push(AttemptOrder { job, attempt: number, order, log_from });
}

/// Carries out what follows from each beat; acks last.
pub(crate) async fn answer(desk: &Arc<Desk>, beats: Vec<(Delivery, Beat)>) -> Result<(), Halt> {
    if beats.is_empty() {
        return Ok(());
    }
    let mut deliveries = Vec::with_capacity(beats.len());
    let mut seen = Vec::new();
    let mut leads = false;
    for (delivery, beat) in beats {
        deliveries.push(delivery);
        let judgement = {
            let mut board = desk.board();
            judge(&mut board, &beat, Instant::now())
        };
        match judgement.heard {
            Heard::Late => continue,
            Heard::Former => warn!(runner = %beat.runner, "beat of a former life: are there two runners of this name?"),
            Heard::NewLife => info!(runner = %beat.runner, pool = %beat.pool, slots = beat.slots, "runner heard"),
            Heard::Now => debug!(runner = %beat.runner, sequence = beat.sequence, "beat"),
        }
        // Orders come from the board, and that of a dispatcher that was followed meanwhile is out of date: it
        // would call void what its successor has granted, and let run on what its successor has given away.
        if !leads && !judgement.answer.orders.is_empty() {
            desk.ledger.renew(desk.epoch).await?;
            leads = true;
        }
        desk.send(&Topic::Runner(beat.runner.clone()), &judgement.answer);
        judgement.check.into_iter().for_each(|attempt| desk.check_log(attempt));
        for ((job, attempt), cause) in judgement.lost {
            let detail = format!("runner {} started anew without it", beat.runner);
            collect::lose(desk, job, attempt, cause, &detail).await?;
        }
        if judgement.heard != Heard::Former && desk.board().roster.is_to_be_noted(&beat.runner) {
            seen.push(runner_seen(beat));
        }
    }
    desk.wake_publisher();
    desk.wake_prober();
    // One commit for all that came together, for example after a restart of the broker.
    let noted = seen.into_iter().map(|runner| desk.ledger.runner_seen(desk.epoch, runner));
    for result in futures::future::join_all(noted).await {
        match result {
            Ok(()) => {}
            Err(cause @ LedgerError::Inconsistent { .. }) => warn!(%cause, "a runner could not be noted"),
            Err(cause) => return Err(cause.into()),
        }
    }
    ack_all(deliveries).await;
    Ok(())
}

fn runner_seen(beat: Beat) -> RunnerSeen {
    RunnerSeen {
        name: beat.runner,
        incarnation: beat.incarnation,
        birth: beat.birth,
        pool: beat.pool,
        slots: beat.slots,
        draining: beat.draining,
        trouble: beat.trouble.map(|why| why.chars().take(300).collect()),
        // Text from outside that pages show.
        version: beat.version.chars().take(100).collect(),
    }
}

#[cfg(test)]
#[path = "beats_tests.rs"]
mod tests;
