//! Who leads: waits for the ledger's lead, holds it, and starts the work anew after every fault.
//!
//! Apart from the work itself because a fault of the work (a locked ledger, a panic) must not cost the
//! lead, and the loss of the lead must end the work wherever it stands.

use std::time::Duration;

use broker::Broker;
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
/// What resigning may take at most, so that an exit never hangs on the ledger.
const RESIGN_LIMIT: Duration = Duration::from_millis(800);

pub(crate) async fn run(
    settings: Settings,
    broker: Broker,
    ledger: Ledger,
    stop: CancellationToken,
) -> Result<(), DispatcherError> {
    while let Some(epoch) = await_lead(&settings.name, &ledger, &stop).await? {
        info!(epoch = epoch.0, "leading");
        let ended = tokio::select! {
            () = hold(&ledger, epoch) => Ended::Deposed,
            ended = work(&settings, &broker, &ledger, epoch, &stop) => ended,
        };
        match ended {
            Ended::Deposed => warn!(epoch = epoch.0, "another dispatcher leads now; everything in hand is dropped"),
            Ended::Stopped => {
                resign(&ledger, epoch).await;
                return Ok(());
            }
            Ended::Closed => {
                resign(&ledger, epoch).await;
                return Err(DispatcherError::BrokerClosed);
            }
        }
    }
    Ok(())
}

enum Ended {
    Stopped,
    Deposed,
    Closed,
}

/// `None`: stopped while waiting.
async fn await_lead(name: &str, ledger: &Ledger, stop: &CancellationToken) -> Result<Option<Epoch>, DispatcherError> {
    let mut told = false;
    loop {
        if stop.is_cancelled() {
            return Ok(None);
        }
        match ledger.lead(name).await {
            Ok(Some(epoch)) => return Ok(Some(epoch)),
            Ok(None) if !told => {
                info!("another dispatcher leads; waiting");
                told = true;
            }
            Ok(None) => {}
            Err(cause @ LedgerError::Inconsistent { .. }) => return Err(DispatcherError::Ledger(cause)),
            Err(cause) => warn!(%cause, "cannot ask for the lead"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = sleep(ASK_EVERY) => {}
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
async fn work(settings: &Settings, broker: &Broker, ledger: &Ledger, epoch: Epoch, stop: &CancellationToken) -> Ended {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        match term::run(settings, broker, ledger, epoch, stop).await {
            Ok(()) => return Ended::Stopped,
            Err(Halt::Ledger(LedgerError::Deposed)) => return Ended::Deposed,
            Err(Halt::Closed) if stop.is_cancelled() => return Ended::Stopped,
            Err(Halt::Closed) => return Ended::Closed,
            Err(halt @ Halt::Panicked(_)) => error!(%halt, "starting again"),
            Err(halt) => warn!(%halt, "nothing is taken from the queues until this is over"),
        }
        if begun.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = stop.cancelled() => return Ended::Stopped,
            () = sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn resign(ledger: &Ledger, epoch: Epoch) {
    match timeout(RESIGN_LIMIT, ledger.resign(epoch)).await {
        Ok(Ok(())) => info!("resigned"),
        Ok(Err(cause)) => warn!(%cause, "could not resign; the lead ends by itself"),
        Err(_) => warn!("the ledger does not answer; the lead ends by itself"),
    }
}
