//! Rows 1 and 2: commits published straight to `thump.commits`, a real dispatcher with its ledger on
//! disk, a runner that does nothing. Beside them the plain loop of the same node.

use std::time::Duration;

use broker::{Broker, Event, Exchange, Listener, Outgoing, Role};
use messages::{
    Arrival, Author, ChangedPaths, CommitId, CommitSeen, Envelope, Incarnation, ObserverName, PipelineSource,
    RepositorySource,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::figures::{Row, median, middle_rate, p50_p99};
use crate::helper::{Helper, QUIET, TELLS, now};
use crate::plain;
use crate::world::{Carrier, World};

const PIPELINE: &str = "[[job]]\nname = \"test\"\nsteps = [\"true\"]\n";
/// How many jobs the runner that does nothing holds at once.
const SLOTS: &str = "128";
/// As many commits as are published together.
const WINDOW: usize = 256;
/// The plain loop is so much faster that it needs more to run for as long.
const PLAIN_FACTOR: u64 = 5;
/// Between two pings everything has come to rest.
const REST: Duration = Duration::from_millis(20);

/// Row 1.
pub(crate) async fn throughput(rounds: usize, jobs: u64) -> Vec<Row> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        plain.push(plain_throughput(jobs * PLAIN_FACTOR).await);
        ours.push(our_throughput(jobs).await);
        eprintln!("# queue, round {round}: Thump {:.0}, plain loop {:.0} jobs/s", last(&ours), last(&plain));
    }
    let (ours, plain) = (median(&ours), median(&plain));
    vec![Row {
        measure: "queue path, no-op jobs, recorded".into(),
        figure: format!("{ours:.0} jobs/s"),
        anchor: format!("plain loop {plain:.0} jobs/s"),
        ratio: format!("{:.2}", ours / plain),
        goal: ">= 0.5",
    }]
}

/// Row 2.
pub(crate) async fn latency(rounds: usize, pings: usize) -> Vec<Row> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        plain.push(plain_latency(pings).await);
        ours.push(our_latency(pings).await);
        let ((p50, p99), (plain_p50, plain_p99)) = (p50_p99(&ours[round - 1..]), p50_p99(&plain[round - 1..]));
        eprintln!("# idle, round {round}: Thump {p50:.1} / {p99:.1} ms, plain loop {plain_p50:.1} / {plain_p99:.1} ms");
    }
    let ((p50, p99), (plain_p50, plain_p99)) = (p50_p99(&ours), p50_p99(&plain));
    vec![Row {
        measure: "idle, commit published to job started, p50 / p99".into(),
        figure: format!("{p50:.1} / {p99:.1} ms"),
        anchor: format!("plain loop {plain_p50:.1} / {plain_p99:.1} ms"),
        ratio: format!("{:.1} / {:.1}", p50 / plain_p50, p99 / plain_p99),
        goal: "<= 6 / 12 ms",
    }]
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

async fn vhost() -> String {
    let node = rabbit_node::shared().await.expect("a RabbitMQ node");
    node.vhost().await.expect("a virtual host")
}

async fn plain_throughput(jobs: u64) -> f64 {
    let url = vhost().await;
    plain::declare(&url).await;
    let mut dispatcher = Helper::start(&["plain-dispatcher"], &url).await;
    let _runner = Helper::start(&["plain-runner", QUIET], &url).await;
    let source = plain::Source::open(&url).await;
    let ((), marks) = tokio::join!(source.publish(jobs), dispatcher.until_recorded(jobs));
    middle_rate(&marks, jobs)
}

async fn plain_latency(pings: usize) -> Vec<f64> {
    let url = vhost().await;
    plain::declare(&url).await;
    let mut dispatcher = Helper::start(&["plain-dispatcher"], &url).await;
    let mut runner = Helper::start(&["plain-runner", TELLS], &url).await;
    let source = plain::Source::open(&url).await;
    let mut measured = Vec::with_capacity(pings);
    for number in 0..pings {
        let begun = source.ping(number as u64).await;
        measured.push(milliseconds(begun, runner.hear("started").await.when));
        dispatcher.hear("recorded").await;
        tokio::time::sleep(REST).await;
    }
    measured
}

async fn our_throughput(jobs: u64) -> f64 {
    let (world, source, mut runner) = start(SLOTS, QUIET).await;
    let publish = async {
        let numbers: Vec<u64> = (0..jobs).collect();
        for window in numbers.chunks(WINDOW) {
            let commits = window.iter().map(|number| source.announcement(*number)).collect();
            for result in source.broker.publish_all(commits).await {
                result.expect("queued");
            }
        }
    };
    let ((), marks) = tokio::join!(publish, runner.until_recorded(jobs));
    nothing_is_left(&world).await;
    middle_rate(&marks, jobs)
}

async fn our_latency(pings: usize) -> Vec<f64> {
    let (world, source, mut runner) = start("2", TELLS).await;
    let mut measured = Vec::with_capacity(pings);
    for number in 0..pings {
        let commit = source.announcement(number as u64);
        let begun = now();
        source.broker.publish(commit).await.expect("queued");
        measured.push(milliseconds(begun, runner.hear("started").await.when));
        runner.hear("recorded").await;
        tokio::time::sleep(REST).await;
    }
    nothing_is_left(&world).await;
    measured
}

fn milliseconds(begun: u64, ended: u64) -> f64 {
    ended.saturating_sub(begun) as f64 / 1e6
}

/// A dispatcher, a runner that does nothing, and an observer's end.
async fn start(slots: &str, tells: &str) -> (World, Source, Helper) {
    let mut world = World::new(Carrier::Rabbit).await;
    world.start_dispatcher().await;
    let source = Source::open(world.broker_url()).await;
    let runner = Helper::start(&["noop-runner", slots, tells], world.broker_url()).await;
    (world, source, runner)
}

/// The ledger agrees: every job is done.
async fn nothing_is_left(world: &World) {
    world
        .eventually("an empty backlog", || async {
            let answer = world.api("/api/v1/queues").await?;
            let mut open = answer["queues"].as_array()?.iter().flat_map(|queue| {
                ["waiting", "queued", "running"].map(|state| queue[state].as_u64().unwrap_or(u64::MAX))
            });
            open.all(|count| count == 0).then_some(())
        })
        .await;
}

/// Says what an observer says, as fast as the broker takes it, and hears what it would hear.
struct Source {
    broker: Broker,
    observer: ObserverName,
    incarnation: Incarnation,
    hears: JoinHandle<()>,
}

impl Source {
    async fn open(url: &str) -> Self {
        let role = Role { name: "observer bench".into(), declares_topology: false };
        let broker = Broker::rabbit(url, role).expect("a broker's URL");
        broker.wait_until_up().await.expect("connected");
        let (observer, incarnation): (ObserverName, _) =
            ("bench".parse().expect("a name"), Incarnation(Uuid::new_v4()));
        let mut control = broker.listen(Listener::Observer { name: observer.clone(), incarnation });
        let hears =
            tokio::spawn(async move { while let Some(Event::Delivery(_) | Event::Resumed) = control.next().await {} });
        Self { broker, observer, incarnation, hears }
    }

    fn announcement(&self, number: u64) -> Outgoing {
        let seen = CommitSeen {
            observer: self.observer.clone(),
            incarnation: self.incarnation,
            repository: RepositorySource { name: "bench".parse().expect("a name"), url: "/nowhere".into() },
            ref_name: "refs/heads/main".parse().expect("a ref"),
            commit: object(number + 1).parse::<CommitId>().expect("an id"),
            tree: object(number).parse().expect("an id"),
            parents: vec![object(number).parse().expect("an id")],
            author: Author { name: "A Developer".into(), email: "developer@example.com".into() },
            subject: "a commit of the benchmark".into(),
            committed_at: jiff::Timestamp::now(),
            changed_paths: ChangedPaths { paths: vec!["src/lib.rs".into()], truncated: false },
            pipeline: PipelineSource::File { text: PIPELINE.into() },
            arrival: Arrival::Pushed,
            skipped_before: 0,
        };
        let envelope = Envelope::of(&seen, seen.message_id()).expect("small");
        Outgoing::new(Exchange::Commits, "bench", envelope)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.hears.abort();
    }
}

fn object(number: u64) -> String {
    format!("{number:040x}")
}
