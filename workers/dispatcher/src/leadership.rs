//! Who leads: waits for the ledger's lead, holds it, and starts the work anew after every fault.
//!
//! Apart from the work itself because a fault of the work (a locked ledger, a panic) must not cost the
//! lead, and the loss of the lead must end the work wherever it stands.

use std::time::Duration;

use broker::Broker;
use seams::chance;
use store::{Epoch, Ledger, LedgerError};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::term::{self, Halt};
use crate::{DispatcherError, Settings};

/// How often a standby asks for the lead.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often the leader renews it; what [`Ledger::renew`] asks for.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Pause after the first fault of the work; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Work that went well for this long has got over its last fault.
const STEADY: Duration = Duration::from_secs(30);
/// A damaged ledger is read through again after this, and after ten times as long as the last reading took.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// What resigning may take at most, so that an exit never hangs on the ledger.
const RESIGN_LIMIT: Duration = Duration::from_millis(800);

pub(crate) async fn run(
    settings: Settings,
    broker: Broker,
    ledger: Ledger,
    stop: CancellationToken,
) -> Result<(), DispatcherError> {
    let mut pause = Pause::default();
    while let Some(epoch) = await_lead(&settings.name, &ledger, &stop).await? {
        info!(epoch = epoch.0, "leading");
        settings.pulse.beats();
        let ended = tokio::select! {
            biased;
            () = hold(&ledger, epoch) => Ended::Deposed,
            ended = work(&settings, &broker, &ledger, epoch, &stop, &mut pause) => ended,
        };
        if !matches!(ended, Ended::Deposed) {
            resign(&ledger, epoch).await;
        }
        settings.pulse.waits();
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Closed => return Err(DispatcherError::BrokerClosed),
            Ended::Deposed => warn!(epoch = epoch.0, "another dispatcher leads now; everything in hand is dropped"),
            // To take the lead is a write: only when it succeeds are the queues consumed again, so the
            // fault of a ledger does not wear out the delivery limit of messages. And a standby whose
            // disk is well may be the better leader.
            Ended::LedgerUnavailable => pause.wait(&stop).await,
            // To take the lead touches one page only: it proves nothing.
            Ended::LedgerDamaged => await_repair(&ledger, &stop).await,
        }
    }
    Ok(())
}

enum Ended {
    Stopped,
    Deposed,
    Closed,
    LedgerUnavailable,
    LedgerDamaged,
}

/// The pauses between faults.
struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: FIRST_PAUSE }
    }
}

impl Pause {
    async fn wait(&mut self, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = sleep(self.next.mul_f64(chance::jitter())) => {}
        }
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

/// `None`: stopped while waiting.
async fn await_lead(name: &str, ledger: &Ledger, stop: &CancellationToken) -> Result<Option<Epoch>, DispatcherError> {
    // What is in the way is told once, and again when it is something else.
    let mut told = None;
    loop {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let obstacle = match ledger.lead(name).await {
            Ok(Some(epoch)) => return Ok(Some(epoch)),
            Ok(None) => "another dispatcher leads; waiting".to_owned(),
            Err(cause @ LedgerError::Inconsistent { .. }) => return Err(DispatcherError::Ledger(cause)),
            Err(cause) => format!("cannot take the lead: {cause}; waiting"),
        };
        if told.as_ref() != Some(&obstacle) {
            info!("{obstacle}");
            told = Some(obstacle);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            () = sleep(ASK_EVERY) => {}
        }
    }
}

/// Nothing is taken from the queues until the whole ledger can be read again: each message would meet the
/// damage, return to its queue and wear out its delivery limit.
async fn await_repair(ledger: &Ledger, stop: &CancellationToken) {
    loop {
        let begun = Instant::now();
        let found = ledger.examine().await;
        if let Err(cause) = &found {
            error!(%cause, "nothing is taken from the queues");
        }
        let pause = READ_AGAIN.max(begun.elapsed() * 10);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => if found.is_ok() { return },
        }
    }
}

/// Renews until another one leads. A ledger that cannot be used now is no loss of the lead: every write
/// checks the epoch, so an old leader cannot do harm by hoping.
async fn hold(ledger: &Ledger, epoch: Epoch) {
    loop {
        sleep(RENEW_EVERY).await;
        match ledger.renew(epoch).await {
            Ok(()) => {}
            Err(LedgerError::Deposed) => return,
            Err(cause) => warn!(%cause, "cannot renew the lead"),
        }
    }
}

/// Term after term under one lead.
async fn work(
    settings: &Settings,
    broker: &Broker,
    ledger: &Ledger,
    epoch: Epoch,
    stop: &CancellationToken,
    pause: &mut Pause,
) -> Ended {
    loop {
        let begun = Instant::now();
        let halt = match term::run(settings, broker, ledger, epoch, stop).await {
            Ok(()) => return Ended::Stopped,
            Err(halt) => halt,
        };
        if begun.elapsed() > STEADY {
            *pause = Pause::default();
        }
        match halt {
            Halt::Ledger(LedgerError::Deposed) => return Ended::Deposed,
            Halt::Closed if !stop.is_cancelled() => return Ended::Closed,
            _ if stop.is_cancelled() => return Ended::Stopped,
            Halt::Ledger(LedgerError::Unavailable { cause }) => {
                warn!(%cause, "the ledger cannot be used; nothing is taken from the queues until it can");
                return Ended::LedgerUnavailable;
            }
            Halt::Ledger(LedgerError::Damaged { what }) => {
                error!(what, "the ledger is damaged; nothing is taken from the queues");
                return Ended::LedgerDamaged;
            }
            halt => error!(%halt, "starting again from the ledger"),
        }
        pause.wait(stop).await;
    }
}

async fn resign(ledger: &Ledger, epoch: Epoch) {
    match timeout(RESIGN_LIMIT, ledger.resign(epoch)).await {
        Ok(Ok(())) => info!("resigned"),
        Ok(Err(cause)) => warn!(%cause, "could not resign; the lead ends by itself"),
        Err(_) => warn!("the ledger does not answer; the lead ends by itself"),
    }
}
