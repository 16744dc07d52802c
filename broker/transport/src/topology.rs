//! Every exchange, queue and binding, as data: the only place that has their names.
//!
//! Design section 4. Both back-ends and the tests read this; the docker definitions are tested against it.

use messages::{Incarnation, ObserverName, PoolName, RunnerName};

/// The exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// observer -> dispatcher; key `<repository>`.
    Commits,
    /// dispatcher -> runner; key `<pool>`.
    Jobs,
    /// runner -> dispatcher; keys of [`Topic`].
    Results,
    /// dispatcher -> runners and observers; keys of [`Topic`].
    Control,
    /// runner -> dispatcher; key `<runner>`.
    Logs,
    /// Messages put aside; keys `commits`, `jobs`, `results`.
    Dead,
}

/// The queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Announced commits.
    Commits,
    /// The jobs of one pool.
    Jobs(PoolName),
    /// Claims, beats, results and the dispatcher's own ticks: the reply queue.
    Results,
    /// Log chunks; may lose everything.
    Logs,
    /// Messages put aside, on their way into the ledger.
    Dead,
}

/// Routing keys that name a person-like end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `claim.<runner>` on [`Exchange::Results`].
    Claim(RunnerName),
    /// `beat.<runner>` on [`Exchange::Results`].
    Beat(RunnerName),
    /// `result.<runner>` on [`Exchange::Results`].
    Result(RunnerName),
    /// `tick` on [`Exchange::Results`].
    Tick,
    /// `all` on [`Exchange::Control`].
    All,
    /// `pool.<pool>` on [`Exchange::Control`].
    Pool(PoolName),
    /// `runner.<runner>` on [`Exchange::Control`].
    Runner(RunnerName),
    /// `observer.<observer>` on [`Exchange::Control`].
    Observer(ObserverName),
}

/// Who listens on a control queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listener {
    /// A runner: hears `all`, its pool and itself.
    Runner {
        /// Its name.
        name: RunnerName,
        /// Its life.
        incarnation: Incarnation,
        /// Its pool.
        pool: PoolName,
    },
    /// An observer: hears `all` and itself.
    Observer {
        /// Its name.
        name: ObserverName,
        /// Its life.
        incarnation: Incarnation,
    },
}

impl Topic {
    /// The routing key.
    pub fn key(&self) -> String {
        match self {
            Self::Claim(runner) => format!("claim.{runner}"),
            Self::Beat(runner) => format!("beat.{runner}"),
            Self::Result(runner) => format!("result.{runner}"),
            Self::Tick => "tick".to_owned(),
            Self::All => "all".to_owned(),
            Self::Pool(pool) => format!("pool.{pool}"),
            Self::Runner(runner) => format!("runner.{runner}"),
            Self::Observer(observer) => format!("observer.{observer}"),
        }
    }
}
