//! Probes runners whose jobs' copies came back, and carries out what follows (design: takeover).
//!
//! The decision is `takeover`'s. Probes go out beside the work; what they show comes back behind a tick of
//! its own through the reply queue, so that it is judged only after everything that the runner said
//! before: its verdict and its hello always win. Claims that wait for the outcome are put to the ledger
//! again when it is clear, so one of several gets the job, and none a job that has ended meanwhile.

use std::sync::Arc;

use broker::{Exchange, Link, Outgoing, PublishError, Topic};
use futures::future::join_all;
use messages::{Claim, Envelope, MessageId, Probe, RunnerName, Tick};
use seams::chance;
use store::LossCause;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use crate::desk::Desk;
use crate::settled::AttemptKey;
use crate::takeover::{Findings, Found, GRACE};
use crate::term::Halt;
use crate::{claims, collect};

/// A claim that waits until it is clear what has become of the holder.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) claim: Claim,
    /// To whom the answer goes.
    pub(crate) question: Envelope,
    /// Whose death would make room for it.
    pub(crate) holder: RunnerName,
    pub(crate) attempt: AttemptKey,
}

/// What a round has shown, and over which connection.
#[derive(Debug)]
pub(crate) struct Report {
    findings: Findings,
    generation: Option<u64>,
}

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    loop {
        let next = desk.board().takeover.next();
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            () = desk.prober_bell() => {}
            () = due => {}
        }
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => return Ok(()),
            () = round(&desk) => {}
        }
    }
}

/// Probes the holders that are due, and if one of them is missing everybody else as well.
async fn round(desk: &Desk) {
    let sent = Instant::now();
    let (round, breaks) = {
        let mut board = desk.board();
        let Some(round) = board.begin_round(sent) else { return };
        (round, board.breaks())
    };
    let generation = generation(desk);
    let mut found = probe(desk, &round.holders).await;
    let is_missing = found.iter().any(|(_, found)| *found == Found::Missing);
    if is_missing {
        let mut others = desk.board().roster.witnesses();
        others.retain(|runner| !round.holders.contains(runner));
        found.extend(probe(desk, &others).await);
    }
    if generation.is_none() || found.iter().any(|(_, found)| *found == Found::Unclear) {
        found.iter_mut().for_each(|(_, found)| *found = Found::Unclear);
    }
    let there = found.iter().filter(|(_, found)| *found == Found::There).map(|(runner, _)| runner);
    desk.board().see(there, breaks);
    debug!(round = round.number, ?found, "probed");
    let report = Report { findings: Findings { number: round.number, found, sent, heard: Instant::now() }, generation };
    if !is_missing && !round.awaited {
        // Nobody can be gone by this and nobody waits for it.
        desk.board().conclude(&report.findings);
        return;
    }
    desk.board().report = Some(report);
    send_behind_everything(desk, round.number).await;
}

/// By its return it is known that everything has been read that the broker had before. If it is lost, so
/// is the round.
async fn send_behind_everything(desk: &Desk, number: u64) {
    let tick = Tick { incarnation: desk.probes, number };
    let id = MessageId::of(&["probed", &desk.probes.to_string(), &number.to_string()]);
    match Envelope::of(&tick, id) {
        Ok(envelope) => {
            let sent = desk.broker.publish(Outgoing::new(Exchange::Results, Topic::Tick.key(), envelope)).await;
            if let Err(cause) = sent {
                debug!(%cause, "nothing is concluded from these probes");
            }
        }
        Err(cause) => error!(%cause, "a tick could not be packed"),
    }
}

/// Only whether a probe can be routed matters.
async fn probe(desk: &Desk, runners: &[RunnerName]) -> Vec<(RunnerName, Found)> {
    let mut letters = Vec::with_capacity(runners.len());
    for runner in runners {
        match Envelope::of(&Probe {}, MessageId(chance::id())) {
            Ok(envelope) => {
                letters.push(Outgoing::new(Exchange::Control, Topic::Runner(runner.clone()).key(), envelope));
            }
            Err(cause) => error!(%cause, "a probe could not be packed"),
        }
    }
    let results = desk.broker.publish_all(letters).await;
    let found = results.into_iter().map(|result| match result {
        Ok(()) => Found::There,
        Err(PublishError::Unroutable { .. }) => Found::Missing,
        Err(_) => Found::Unclear,
    });
    runners.iter().cloned().zip(found.chain(std::iter::repeat(Found::Unclear))).collect()
}

/// The connection, if it is up and takes messages.
fn generation(desk: &Desk) -> Option<u64> {
    match &*desk.broker.link().borrow() {
        Link::Up { generation } => Some(*generation),
        Link::Down { .. } | Link::Blocked { .. } => None,
    }
}

/// A round's tick came back.
pub(crate) async fn came_back(desk: &Arc<Desk>, number: u64) -> Result<(), Halt> {
    let now = generation(desk);
    let gone = {
        let mut board = desk.board();
        let Some(mut report) = board.report.take().filter(|report| report.findings.number == number) else {
            return Ok(());
        };
        if report.generation != now {
            report.findings.found.iter_mut().for_each(|(_, found)| *found = Found::Unclear);
        }
        let gone = board.conclude(&report.findings);
        gone.into_iter().map(|(runner, life)| (board.let_go(&runner, life), runner)).collect::<Vec<_>>()
    };
    desk.wake_prober();
    for (attempts, runner) in gone {
        warn!(%runner, attempts = attempts.len(), "runner gone; its jobs go to others");
        let detail = format!("runner {runner} is gone: nobody listened for it, twice within {GRACE:?}");
        let lost = attempts
            .into_iter()
            .map(|(job, attempt)| collect::record_loss(desk, job, attempt, LossCause::RunnerLost, &detail));
        join_all(lost).await.into_iter().collect::<Result<(), _>>()?;
        desk.ledger.runner_gone(desk.epoch, &runner).await?;
        // First those who wait for the jobs, then the rest of them goes to the queue.
        settle(desk).await?;
        desk.wake_publisher_for_new_jobs();
    }
    Ok(())
}

/// Answers the claims that need not wait any longer.
pub(crate) async fn settle(desk: &Arc<Desk>) -> Result<(), Halt> {
    let ready = desk.board().unpark();
    if ready.is_empty() {
        return Ok(());
    }
    debug!(claims = ready.len(), "claims that waited are answered");
    claims::answer_again(desk, ready).await?;
    desk.wake_publisher_for_new_jobs();
    Ok(())
}
