//! Every exchange, queue and binding, as data: the only place that has their names.
//!
//! Both back-ends and the tests read this, and the docker definitions are tested against it. Must not
//! know lapin: what it says has to hold for the broker inside the process as well.
//!
//! Every publish is mandatory, on every exchange. For control messages that is how the sender learns
//! that its addressee is gone; for log chunks it is how a runner learns to send them again later.

use std::time::Duration;

use messages::{Incarnation, MAX_TIMEOUT_SECONDS, ObserverName, PoolName, RunnerName};

/// The exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// How an exchange picks queues by routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// The key is equal to the binding's.
    Direct,
    /// The binding's key is a pattern of words between dots: `*` is one word, `#` is any number of them.
    Topic,
}

/// How a queue keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Replicated, always durable.
    Quorum,
    /// One node's. What is transient in it does not survive a restart.
    Classic,
}

/// What happens to a message that finds the queue at its maximum length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The publisher gets a nack: [`crate::PublishError::QueueFull`].
    RejectPublish,
    /// The oldest one is forgotten in its favour.
    DropHead,
}

/// From which exchange, under which key or pattern, a queue takes its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The exchange.
    pub exchange: Exchange,
    /// The key, or the pattern on a topic exchange.
    pub key: String,
}

/// All that has to be said to declare a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// How it keeps its messages.
    pub kind: QueueKind,
    /// Whether the queue itself (not each message) survives a restart of the broker.
    pub durable: bool,
    /// Whether it belongs to one connection, and is gone with it or with its only consumer.
    pub exclusive: bool,
    /// Most messages that wait in it. Those that consumers hold do not count.
    pub max_length: u32,
    /// Most bytes of bodies in it.
    pub max_bytes: Option<u64>,
    /// What happens to the message that is one too many.
    pub overflow: Overflow,
    /// How many times a message may come back before the broker puts it aside.
    pub delivery_limit: Option<u32>,
    /// The key on [`Exchange::Dead`] under which its messages are put aside, by the broker (at least
    /// once) or by a role.
    pub dead_letter_key: Option<&'static str>,
    /// How long a delivery may stay unsettled, if the broker's own default is too short (in force from
    /// RabbitMQ 3.12; older ones accept and ignore it).
    pub consumer_timeout: Option<Duration>,
    /// Where its messages come from.
    pub bindings: Vec<Binding>,
}

/// The value of a queue argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A long string on the wire.
    Text(&'static str),
    /// A signed 64-bit number on the wire.
    Number(i64),
}

/// How many times a message may come back to a quorum queue. RabbitMQ's own default since 4.0, set for
/// the older ones too: without a limit they put a returned message at the end of the queue.
pub const DELIVERY_LIMIT: u32 = 20;

/// Spoken, because RabbitMQ 4 reads silence as 20 and then drops the message, and older ones refuse -1.
const NO_DELIVERY_LIMIT: u32 = 1_000_000;
/// Above this a pool's backlog waits in the ledger, and an observer's in its repository.
const WORK_LENGTH: u32 = 10_000;
/// Claims and beats of all runners meet here, also while no dispatcher lives.
const RESULTS_LENGTH: u32 = 100_000;
const DEAD_LENGTH: u32 = 10_000;
/// Chunks in flight only: the whole log lies on the runner's disk.
const LOGS_LENGTH: u32 = 2_000;
const LOGS_BYTES: u64 = 64 * 1024 * 1024;
/// No single control message matters, so a listener that sleeps loses the oldest.
const CONTROL_LENGTH: u32 = 1_000;

impl Exchange {
    /// Every exchange.
    pub const ALL: [Self; 6] = [Self::Commits, Self::Jobs, Self::Results, Self::Control, Self::Logs, Self::Dead];

    /// Its name on the broker.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commits => "thump.commits",
            Self::Jobs => "thump.jobs",
            Self::Results => "thump.results",
            Self::Control => "thump.control",
            Self::Logs => "thump.logs",
            Self::Dead => "thump.dead",
        }
    }

    /// How it routes. All are durable.
    pub fn kind(self) -> ExchangeKind {
        match self {
            Self::Jobs => ExchangeKind::Direct,
            Self::Commits | Self::Results | Self::Control | Self::Logs | Self::Dead => ExchangeKind::Topic,
        }
    }

    /// Whether its messages survive a restart of the broker (delivery mode 2).
    pub fn persistent(self) -> bool {
        !matches!(self, Self::Control | Self::Logs)
    }
}

impl Queue {
    /// The queues that are there once. Those of the pools come and go with the pools.
    pub const COMMON: [Self; 4] = [Self::Commits, Self::Results, Self::Logs, Self::Dead];

    /// Its name on the broker.
    pub fn name(&self) -> String {
        match self {
            Self::Commits => "thump.commits".to_owned(),
            Self::Jobs(pool) => format!("thump.jobs.{pool}"),
            Self::Results => "thump.results".to_owned(),
            Self::Logs => "thump.logs".to_owned(),
            Self::Dead => "thump.dead".to_owned(),
        }
    }

    /// All that has to be said to declare it.
    pub fn spec(&self) -> QueueSpec {
        let name = self.name();
        match self {
            Self::Commits => QueueSpec::work(name, WORK_LENGTH, "commits", Binding::new(Exchange::Commits, "#")),
            Self::Jobs(pool) => {
                let binding = Binding::new(Exchange::Jobs, pool.as_str());
                // The delivery is held while the job runs, and some time more for checkout and report.
                let longest = Duration::from_secs(MAX_TIMEOUT_SECONDS + 3600);
                let spec = QueueSpec::work(name, WORK_LENGTH, "jobs", binding);
                QueueSpec { consumer_timeout: Some(longest), ..spec }
            }
            Self::Results => QueueSpec::work(name, RESULTS_LENGTH, "results", Binding::new(Exchange::Results, "#")),
            Self::Dead => QueueSpec {
                name,
                kind: QueueKind::Quorum,
                durable: true,
                exclusive: false,
                max_length: DEAD_LENGTH,
                max_bytes: None,
                overflow: Overflow::RejectPublish,
                // It has nowhere to go from here, so it may come back for as long as the ledger is ill.
                delivery_limit: Some(NO_DELIVERY_LIMIT),
                dead_letter_key: None,
                consumer_timeout: None,
                bindings: vec![Binding::new(Exchange::Dead, "#")],
            },
            Self::Logs => QueueSpec {
                name,
                kind: QueueKind::Classic,
                durable: true,
                exclusive: false,
                max_length: LOGS_LENGTH,
                max_bytes: Some(LOGS_BYTES),
                overflow: Overflow::RejectPublish,
                delivery_limit: None,
                dead_letter_key: None,
                consumer_timeout: None,
                bindings: vec![Binding::new(Exchange::Logs, "#")],
            },
        }
    }
}

impl Listener {
    /// All that has to be said to declare its control queue, `thump.control.<name>.<incarnation>`.
    pub fn spec(&self) -> QueueSpec {
        let (name, incarnation, topics) = match self {
            Self::Runner { name, incarnation, pool } => {
                (name.as_str(), incarnation, vec![Topic::All, Topic::Pool(pool.clone()), Topic::Runner(name.clone())])
            }
            Self::Observer { name, incarnation } => {
                (name.as_str(), incarnation, vec![Topic::All, Topic::Observer(name.clone())])
            }
        };
        QueueSpec {
            name: format!("thump.control.{name}.{incarnation}"),
            kind: QueueKind::Classic,
            durable: false,
            exclusive: true,
            max_length: CONTROL_LENGTH,
            max_bytes: None,
            overflow: Overflow::DropHead,
            delivery_limit: None,
            dead_letter_key: None,
            consumer_timeout: None,
            bindings: topics.iter().map(|topic| Binding::new(Exchange::Control, &topic.key())).collect(),
        }
    }
}

impl Binding {
    fn new(exchange: Exchange, key: &str) -> Self {
        Self { exchange, key: key.to_owned() }
    }
}

impl QueueSpec {
    fn work(name: String, max_length: u32, dead_letter_key: &'static str, binding: Binding) -> Self {
        Self {
            name,
            kind: QueueKind::Quorum,
            durable: true,
            exclusive: false,
            max_length,
            max_bytes: None,
            overflow: Overflow::RejectPublish,
            delivery_limit: Some(DELIVERY_LIMIT),
            dead_letter_key: Some(dead_letter_key),
            consumer_timeout: None,
            bindings: vec![binding],
        }
    }

    /// The key on [`Exchange::Dead`] under which a role puts a message of this queue aside. Also for
    /// queues whose messages the broker never puts aside: a log chunk nobody understands, say.
    pub fn put_aside_key(&self) -> &str {
        self.dead_letter_key.unwrap_or_else(|| self.name.strip_prefix("thump.").unwrap_or(&self.name))
    }

    /// The arguments in RabbitMQ's words, sorted by name.
    pub fn arguments(&self) -> Vec<(&'static str, Argument)> {
        use Argument::{Number, Text};
        let mut arguments = vec![
            ("x-max-length", Number(i64::from(self.max_length))),
            (
                "x-overflow",
                Text(match self.overflow {
                    Overflow::RejectPublish => "reject-publish",
                    Overflow::DropHead => "drop-head",
                }),
            ),
            (
                "x-queue-type",
                Text(match self.kind {
                    QueueKind::Quorum => "quorum",
                    QueueKind::Classic => "classic",
                }),
            ),
        ];
        if let Some(bytes) = self.max_bytes {
            arguments.push(("x-max-length-bytes", Number(i64::try_from(bytes).unwrap_or(i64::MAX))));
        }
        if let Some(limit) = self.delivery_limit {
            arguments.push(("x-delivery-limit", Number(i64::from(limit))));
        }
        if let Some(key) = self.dead_letter_key {
            arguments.push(("x-dead-letter-exchange", Text(Exchange::Dead.name())));
            arguments.push(("x-dead-letter-routing-key", Text(key)));
            arguments.push(("x-dead-letter-strategy", Text("at-least-once")));
        }
        if let Some(timeout) = self.consumer_timeout {
            let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
            arguments.push(("x-consumer-timeout", Number(milliseconds)));
        }
        arguments.sort_by_key(|(name, _)| *name);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_queue() -> Vec<QueueSpec> {
        let mut queues: Vec<_> = Queue::COMMON.iter().map(Queue::spec).collect();
        queues.push(Queue::Jobs(PoolName::default()).spec());
        queues
    }

    #[test]
    fn dead_lettering_is_at_least_once_only_where_a_full_queue_rejects() {
        for queue in every_queue().into_iter().filter(|queue| queue.dead_letter_key.is_some()) {
            assert_eq!(queue.overflow, Overflow::RejectPublish, "{}", queue.name);
            let arguments = queue.arguments();
            assert!(arguments.contains(&("x-dead-letter-strategy", Argument::Text("at-least-once"))), "{arguments:?}");
        }
    }

    #[test]
    fn a_dead_letter_never_dies_again() {
        let dead = Queue::Dead.spec();
        assert_eq!((dead.dead_letter_key, dead.delivery_limit), (None, Some(NO_DELIVERY_LIMIT)));
    }

    #[test]
    fn whatever_must_not_be_lost_is_quorum_and_whatever_is_bounded_says_so() {
        for queue in every_queue() {
            let lossy = queue.bindings.iter().all(|binding| !binding.exchange.persistent());
            assert_eq!(queue.kind == QueueKind::Classic, lossy, "{}", queue.name);
            assert!(queue.max_length > 0, "{}", queue.name);
        }
    }

    #[test]
    fn a_runner_hears_all_its_pool_and_itself_on_a_queue_of_this_life_only() {
        let name: RunnerName = "north-1".parse().expect("a name");
        let pool: PoolName = "linux".parse().expect("a name");
        let life = |parts: &[&str]| Incarnation(messages::MessageId::of(parts).0);
        let spec = Listener::Runner { name: name.clone(), incarnation: life(&["first"]), pool: pool.clone() }.spec();
        let keys: Vec<_> = spec.bindings.iter().map(|binding| binding.key.as_str()).collect();
        assert_eq!(keys, ["all", "pool.linux", "runner.north-1"]);
        assert!(spec.exclusive && spec.name.starts_with("thump.control.north-1."));
        assert_ne!(spec.name, Listener::Runner { name, incarnation: life(&["second"]), pool }.spec().name);
    }
}
