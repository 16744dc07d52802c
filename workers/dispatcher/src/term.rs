//! One stretch of work as leader: load what the ledger knows, start every part, stop them together.
//!
//! The parts share nothing but the desk. The first one that fails ends the term: consumers are dropped,
//! so whatever they held returns to its queue, and the next term begins from the ledger.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use store::{Epoch, Ledger, LedgerError};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::board::Board;
use crate::desk::Desk;
use crate::{
    Settings, cancel, clock, courier, dead, intake, logs, probes, publish, reconcile, replay, results, topology,
};

/// What the batch in hand may take at the end.
const FINISH_LIMIT: Duration = Duration::from_secs(3);

/// Why a term ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the connection to the broker was closed")]
    Closed,
    #[error("the ledger was closed")]
    LedgerClosed,
    #[error("a part of the dispatcher failed in an unforeseen way: {0}")]
    Panicked(String),
}

/// Works until `stop` (then `Ok`) or the first fault.
pub(crate) async fn run(
    settings: &Settings,
    broker: &Broker,
    ledger: &Ledger,
    epoch: Epoch,
    stop: &CancellationToken,
) -> Result<(), Halt> {
    // A child: a fault ends this term only.
    let end = stop.child_token();
    let board = load(settings, ledger).await?;
    let (desk, inboxes) = Desk::open(settings.clone(), broker.clone(), ledger.clone(), epoch, board, end.clone());
    let declared = topology::ensure_all(&desk).await?;

    let mut parts = JoinSet::new();
    let at = |desk: &Arc<Desk>| Arc::clone(desk);
    parts.spawn(courier::run(at(&desk), inboxes.letters).instrument(info_span!("courier")));
    parts.spawn(topology::run(at(&desk), declared).instrument(info_span!("topology")));
    parts.spawn(publish::mark(at(&desk), inboxes.confirmed).instrument(info_span!("publish")));
    parts.spawn(publish::run(at(&desk)).instrument(info_span!("publish")));
    parts.spawn(results::run(at(&desk)).instrument(info_span!("results")));
    parts.spawn(intake::run(at(&desk)).instrument(info_span!("intake")));
    parts.spawn(logs::run(at(&desk)).instrument(info_span!("logs")));
    parts.spawn(logs::check(at(&desk), inboxes.log_checks).instrument(info_span!("logs")));
    parts.spawn(dead::run(at(&desk)).instrument(info_span!("dead")));
    parts.spawn(replay::run(at(&desk)).instrument(info_span!("replay")));
    parts.spawn(cancel::run(at(&desk)).instrument(info_span!("cancel")));
    parts.spawn(reconcile::run(at(&desk)).instrument(info_span!("reconcile")));
    parts.spawn(clock::run(at(&desk)).instrument(info_span!("clock")));
    parts.spawn(probes::run(at(&desk)).instrument(info_span!("probes")));
    desk.wake_publisher();

    let first = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        ended = parts.join_next() => verdict(ended),
    };
    end.cancel();
    let rest = timeout(FINISH_LIMIT, async {
        let mut worst = Ok(());
        while let Some(ended) = parts.join_next().await {
            worst = worst.and(verdict(Some(ended)));
        }
        worst
    });
    match rest.await {
        Ok(rest) => first.and(rest),
        Err(_) => {
            warn!("the batch in hand was not finished in time; it returns to its queue");
            parts.shutdown().await;
            first
        }
    }
}

fn verdict(ended: Option<Result<Result<(), Halt>, tokio::task::JoinError>>) -> Result<(), Halt> {
    match ended {
        None => Ok(()),
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => Err(Halt::Panicked(panic.to_string())),
    }
}

/// Fills the memory with what the ledger knows. Leases begin fresh: nobody could renew one meanwhile.
async fn load(settings: &Settings, ledger: &Ledger) -> Result<Board, Halt> {
    let mut board = Board::new(settings);
    for running in ledger.running().await? {
        // Otherwise each running job would be asked for its whole log again.
        if let Ok(log) = ledger.logs().state(running.job, running.attempt).await {
            board.logbook.measured((running.job, running.attempt), log.length);
        }
        board.leases.resume(running);
    }
    for runner in ledger.runners().await? {
        board.roster.remember(&runner);
        board.add_pool(&runner.pool);
    }
    ledger.pools_with_work().await?.iter().for_each(|pool| board.add_pool(pool));
    for published in ledger.published().await? {
        board.afloat.insert(published.job, published.pool, true);
    }
    if board.leases.len() + board.afloat.len() > 0 {
        info!(running = board.leases.len(), published = board.afloat.len(), "going on from the ledger");
    }
    Ok(board)
}
