//! Decides: which commit becomes which jobs, which job is published next, who may run it, what counts.
//!
//! One dispatcher leads ([`run`] waits for the lead); it takes in commits (`intake`), publishes what
//! free slots can take (`scheduler`, `publish`), answers claims and beats (`claims`, `beats`), records
//! results (`collect`), takes the jobs of dead runners away (`probes`) and mends what the broker forgot (`topology`, `reconcile`).
//!
//! Decisions are plain data structures without clock or I/O (`scheduler`, `roster`, `leases`, `takeover`,
//! `logbook`, and the functions named `judge` or `decide`); the rest carries them out. Everything in memory can be
//! rebuilt from the ledger and the next beats, so a fault anywhere ends the term, and a new one begins.
//! Must not know: git, processes, HTTP, observer, runner, dashboard.

mod afloat;
mod beats;
mod board;
mod cancel;
mod claims;
mod clock;
mod collect;
mod courier;
mod dead;
pub mod decoders;
mod desk;
mod heralds;
mod intake;
mod leadership;
mod leases;
mod logbook;
mod logs;
mod mailbox;
mod probes;
mod publish;
mod pulse;
mod reconcile;
mod replay;
mod results;
mod roster;
mod scheduler;
mod settled;
mod takeover;
mod term;
mod topology;

use std::time::Duration;

use broker::{Broker, RefusedError};
use messages::PoolName;
use store::{Ledger, LedgerError};
use tokio_util::sync::CancellationToken;

pub use pulse::Pulse;

/// How one dispatcher behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown as the leader in the ledger.
    pub name: String,
    /// How many jobs per slot lie in a pool's queue beyond the free slots, so that a runner that becomes
    /// free does not wait for a publication.
    pub look_ahead: u32,
    /// How long a runner may be silent before its attempts are lost. Counted in own ticks, so rounded up
    /// to a multiple of `tick_every`.
    pub lease: Duration,
    /// How often the dispatcher sends itself a tick.
    pub tick_every: Duration,
    /// How often it looks for jobs that the broker forgot. Counted in own ticks as well.
    pub reconcile_every: Duration,
    /// Pools whose queues are there before any job or runner names them.
    pub pools: Vec<PoolName>,
    /// Where it tells how it stands.
    pub pulse: Pulse,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "dispatcher".to_owned(),
            look_ahead: 1,
            lease: messages::LEASE,
            tick_every: messages::TICK,
            reconcile_every: Duration::from_secs(10),
            pools: vec![PoolName::default()],
            pulse: Pulse::default(),
        }
    }
}

impl Settings {
    /// A length of time in own ticks, at least one.
    fn ticks(&self, time: Duration) -> u32 {
        let ticks = time.as_millis().div_ceil(self.tick_every.as_millis().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
    }
}

/// Why a dispatcher gave up. Everything that waiting can mend is waited for instead.
#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    /// The broker refuses this dispatcher from the start.
    #[error(transparent)]
    Refused(#[from] RefusedError),
    /// The ledger holds something that no retry mends.
    #[error("lead: {0}")]
    Ledger(#[source] LedgerError),
    /// Whoever owns the connection to the broker closed it.
    #[error("the connection to the broker was closed under the dispatcher")]
    BrokerClosed,
}

/// Waits for the lead, then works until `stop`; loses and regains the lead as often as it takes.
/// After `stop` the batch in hand is finished and the lead given up within 5 s.
///
/// # Errors
/// Only what waiting cannot mend, see [`DispatcherError`].
pub async fn run(
    settings: Settings,
    broker: Broker,
    ledger: Ledger,
    stop: CancellationToken,
) -> Result<(), DispatcherError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        up = broker.wait_until_up() => up?,
    }
    leadership::run(settings, broker, ledger, stop).await
}
