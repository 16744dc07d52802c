//! A broker, a ledger on disk, a dispatcher, and scripted runners and observers: the verbs of the stories.
//!
//! Everything is real but the runners, which do exactly what a story says and nothing by themselves.

use std::future::Future;
use std::time::Duration;

use broker::{Broker, Consumer, Delivery, Embedded, Event, Exchange, Listener, Outgoing, Queue, Role, Topic};
use dispatcher::{DispatcherError, Settings};
use jiff::Timestamp;
use messages::{
    Arrival, AttemptNumber, AttemptOrder, AttemptToken, Author, Beat, BeatAnswer, Birth, ChangedPaths, Claim,
    ClaimAnswer, CommitSeen, Envelope, Finished, FinishedAttempt, HandBack, Incarnation, Job, JobId, LogChunk, Message,
    MessageId, Outcome, PipelineSource, PoolName, Recorded, RepositorySource, RunnerName, RunningAttempt,
};
use sha2::{Digest, Sha256};
use sqlx::Connection;
use store::{BuildFilter, BuildView, Ledger};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than anything takes on a busy machine: only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// A pipeline of one job.
pub(crate) const ONE_JOB: &str = "[[job]]\nname = \"test\"\nsteps = [\"true\"]\n";

pub(crate) struct World {
    pub(crate) bus: Embedded,
    pub(crate) ledger: Ledger,
    pub(crate) dispatcher: Option<Dispatcher>,
    observer: Broker,
    folder: tempfile::TempDir,
}

pub(crate) struct Dispatcher {
    stop: CancellationToken,
    ended: JoinHandle<Result<(), DispatcherError>>,
}

/// Real time is short in stories; the lease is long enough for a busy machine unless a story is about it.
pub(crate) fn settings() -> Settings {
    Settings {
        name: "test".to_owned(),
        lease: Duration::from_secs(60),
        tick_every: Duration::from_millis(20),
        reconcile_every: Duration::from_millis(200),
        ..Settings::default()
    }
}

/// [`settings`] with a lease that ends while one waits.
pub(crate) fn short_lease() -> Settings {
    Settings { lease: Duration::from_millis(600), ..settings() }
}

pub(crate) async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long: {what}"),
    }
}

async fn open(folder: &tempfile::TempDir) -> Ledger {
    let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
    Ledger::open(&url, folder.path()).await.expect("a ledger")
}

fn role(name: &str) -> Role {
    Role { name: name.to_owned(), declares_topology: name.starts_with("dispatcher") }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(settings()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = open(&folder).await;
        let bus = Embedded::new();
        let observer = bus.connect(role("observer"));
        let mut world = Self { bus, ledger, dispatcher: None, observer, folder };
        world.dispatcher = Some(world.dispatch(settings));
        world.until("the queues stand", || async { world.observer.depth(&Queue::Results).await.ok() }).await;
        world
    }

    /// One more dispatcher on the same broker and ledger.
    pub(crate) fn dispatch(&self, settings: Settings) -> Dispatcher {
        let stop = CancellationToken::new();
        let broker = self.bus.connect(role("dispatcher"));
        let ended = tokio::spawn(dispatcher::run(settings, broker, self.ledger.clone(), stop.clone()));
        Dispatcher { stop, ended }
    }

    /// Ends the dispatcher in order.
    pub(crate) async fn stop_dispatcher(&mut self) {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.stop().await;
        }
    }

    /// Ends the dispatcher wherever it stands.
    pub(crate) async fn kill_dispatcher(&mut self) {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.ended.abort();
            dispatcher.ended.await.expect_err("killed");
            // The lead ends with the process; here, with the last handle of the ledger.
            self.ledger = open(&self.folder).await;
        }
    }

    /// Somebody else writes into the database file and takes his time, until this is dropped.
    pub(crate) async fn lock_ledger(&self) -> sqlx::SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.folder.path().join("ledger.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("opened");
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("locked");
        connection
    }

    /// Messages that wait in a queue and are held by nobody.
    pub(crate) async fn depth(&self, queue: &Queue) -> u64 {
        self.observer.depth(queue).await.expect("measured").ready
    }

    /// Asks again at every change of the ledger, and now and then, until there is an answer.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, mut ask: impl FnMut() -> F) -> T {
        let mut changes = self.ledger.changes();
        patiently(what, async {
            loop {
                changes.borrow_and_update();
                if let Some(answer) = ask().await {
                    return answer;
                }
                let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
            }
        })
        .await
    }

    pub(crate) async fn push(&self, text: &str) -> CommitSeen {
        self.push_to("north", text).await
    }

    pub(crate) async fn push_to(&self, repository: &str, text: &str) -> CommitSeen {
        let seen = commit(repository, text);
        self.announce(&seen).await;
        seen
    }

    pub(crate) async fn announce(&self, seen: &CommitSeen) {
        let envelope = Envelope::of(seen, seen.message_id()).expect("small");
        let message = Outgoing::new(Exchange::Commits, seen.repository.name.as_str(), envelope);
        self.observer.publish(message).await.expect("announced");
    }

    /// Sends something that its reader cannot understand.
    pub(crate) async fn send_rubbish(&self, exchange: Exchange, key: &str, kind: &str) {
        let id = MessageId(Uuid::new_v4());
        let envelope = Envelope::raw(kind, id, b"{\"observer\": \"eye\", \"rubbish\": true}".to_vec()).expect("small");
        self.observer.publish(Outgoing::new(exchange, key, envelope)).await.expect("sent");
    }

    /// The observer's ear.
    pub(crate) fn listen(&self) -> Ear {
        let name = "eye".parse().expect("a name");
        let listener = Listener::Observer { name, incarnation: Incarnation(Uuid::new_v4()) };
        Ear { control: self.observer.listen(listener) }
    }

    pub(crate) async fn build(&self, seen: &CommitSeen) -> BuildView {
        let of = || async { self.builds(seen).await.into_iter().next() };
        self.until("a build", of).await
    }

    pub(crate) async fn builds(&self, seen: &CommitSeen) -> Vec<BuildView> {
        let filter = BuildFilter { commit: Some(seen.commit.to_string()), limit: 10, ..BuildFilter::default() };
        self.ledger.builds(filter).await.expect("read")
    }

    /// The build once it has a verdict.
    pub(crate) async fn verdict(&self, seen: &CommitSeen) -> BuildView {
        let done = || async { self.builds(seen).await.into_iter().find(|build| build.verdict.is_some()) };
        self.until("a verdict", done).await
    }

    pub(crate) async fn runner(&self, name: &str) -> Runner {
        let mut runner = Runner::start(&self.bus, name, 1);
        runner.say_hello().await;
        runner
    }

    /// States of a job's attempts.
    pub(crate) async fn attempts(&self, job: JobId) -> Vec<store::AttemptState> {
        self.ledger.attempts(job).await.expect("read").into_iter().map(|attempt| attempt.state).collect()
    }
}

impl Dispatcher {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        patiently("the dispatcher stops", self.ended).await.expect("no panic").expect("no error");
    }
}

pub(crate) fn commit(repository: &str, text: &str) -> CommitSeen {
    let unique = format!("{}{}", Uuid::new_v4().simple(), "0".repeat(8));
    CommitSeen {
        observer: "eye".parse().expect("a name"),
        incarnation: Incarnation(Uuid::new_v4()),
        repository: RepositorySource { name: repository.parse().expect("a name"), url: "/nowhere".to_owned() },
        ref_name: "refs/heads/main".parse().expect("a ref"),
        commit: unique.parse().expect("an id"),
        tree: unique.parse().expect("an id"),
        parents: Vec::new(),
        author: Author { name: "A".to_owned(), email: "a@example.com".to_owned() },
        subject: "a change".to_owned(),
        committed_at: Timestamp::now(),
        changed_paths: ChangedPaths::default(),
        pipeline: PipelineSource::File { text: text.to_owned() },
        arrival: Arrival::Pushed,
        skipped_before: 0,
    }
}

pub(crate) struct Ear {
    control: Consumer,
}

impl Ear {
    pub(crate) async fn recorded(&mut self) -> Recorded {
        next_of(&mut self.control, "an answer to the observer").await
    }
}

/// The next message of one kind; others are passed over.
async fn next_of<M: Message>(consumer: &mut Consumer, what: &str) -> M {
    patiently(what, async {
        loop {
            let Event::Delivery(delivery) = consumer.next().await.expect("open") else { continue };
            let opened = delivery.envelope.as_ref().ok().and_then(|envelope| envelope.open::<M>().ok());
            delivery.ack().await;
            if let Some(message) = opened {
                return message;
            }
        }
    })
    .await
}

/// A scripted runner. Dropped, it is dead: its connection ends and its control queue is gone.
pub(crate) struct Runner {
    broker: Broker,
    pub(crate) name: RunnerName,
    pub(crate) life: Incarnation,
    birth: Birth,
    slots: u32,
    /// `None`: cut off, see [`Runner::cut_off`].
    ears: Option<Ears>,
    sequence: u64,
}

/// What a runner loses when its connection breaks, and gets back with the next one.
struct Ears {
    jobs: Consumer,
    control: Consumer,
}

/// An attempt in the runner's hands.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) token: AttemptToken,
}

impl Runner {
    pub(crate) fn start(bus: &Embedded, name: &str, slots: u32) -> Self {
        let broker = bus.connect(role(name));
        let life = Incarnation(Uuid::new_v4());
        let birth = Birth { folder: Uuid::new_v4(), number: 1 };
        let name: RunnerName = name.parse().expect("a name");
        let mut runner = Self { broker, name, life, birth, slots, ears: None, sequence: 0 };
        runner.reconnect();
        runner
    }

    /// The same runner, started anew in its folder.
    pub(crate) fn next_life(&self, bus: &Embedded) -> Self {
        let mut next = Self::start(bus, self.name.as_str(), self.slots);
        next.birth = Birth { number: self.birth.number + 1, ..self.birth };
        next
    }

    /// Nothing reaches it any more and its deliveries are void; what it says still arrives.
    pub(crate) fn cut_off(&mut self) {
        self.ears = None;
    }

    pub(crate) fn reconnect(&mut self) {
        let pool = PoolName::default();
        let listener = Listener::Runner { name: self.name.clone(), incarnation: self.life, pool: pool.clone() };
        let control = self.broker.listen(listener);
        let jobs = self.broker.consume(Queue::Jobs(pool), u16::try_from(self.slots).expect("few"));
        self.ears = Some(Ears { jobs, control });
    }

    fn ears(&mut self) -> &mut Ears {
        self.ears.as_mut().expect("connected")
    }

    /// Beats, and waits until it is answered: from then on it is known and was seen.
    pub(crate) async fn say_hello(&mut self) {
        let sequence = self.beat(&[], &[]).await;
        while next_of::<BeatAnswer>(&mut self.ears().control, "an answer").await.sequence < sequence {}
    }

    async fn say<M: Message>(&self, topic: &Topic, message: &M, id: MessageId) {
        let envelope = Envelope::of(message, id).expect("small");
        self.broker.publish(Outgoing::new(Exchange::Results, topic.key(), envelope)).await.expect("sent");
    }

    pub(crate) async fn beat(&mut self, running: &[&Held], finished: &[&Held]) -> u64 {
        self.sequence += 1;
        let beat = Beat {
            runner: self.name.clone(),
            incarnation: self.life,
            birth: self.birth,
            sequence: self.sequence,
            pool: PoolName::default(),
            slots: self.slots,
            draining: false,
            trouble: None,
            version: "test".to_owned(),
            held: Vec::new(),
            running: running.iter().map(|held| held.running()).collect(),
            finished: finished.iter().map(|held| held.finished()).collect(),
        };
        self.say(&Topic::Beat(self.name.clone()), &beat, MessageId(Uuid::new_v4())).await;
        self.sequence
    }

    /// Beats with these attempts, waits until that beat is answered, and returns the first order.
    pub(crate) async fn beat_until_answered(&mut self, running: &[&Held]) -> AttemptOrder {
        let sequence = self.beat(running, &[]).await;
        loop {
            let answer: BeatAnswer = next_of(&mut self.ears().control, "an answer").await;
            if answer.incarnation == self.life && answer.sequence >= sequence {
                return answer.orders.into_iter().next().expect("an order");
            }
        }
    }

    /// The first order for this attempt in any answer to come.
    pub(crate) async fn order(&mut self, held: &Held) -> AttemptOrder {
        loop {
            let answer: BeatAnswer = next_of(&mut self.ears().control, "an order").await;
            assert_eq!(answer.incarnation, self.life);
            let mine = |order: &AttemptOrder| order.job == held.job && order.attempt == held.attempt;
            if let Some(order) = answer.orders.into_iter().find(mine) {
                return order;
            }
        }
    }

    pub(crate) async fn cancelled(&mut self) -> messages::CancelAttempt {
        next_of(&mut self.ears().control, "a cancel").await
    }

    /// The next delivery from the pool's queue.
    pub(crate) async fn take(&mut self) -> (Delivery, Job) {
        patiently("a job", async {
            loop {
                let Event::Delivery(delivery) = self.ears().jobs.next().await.expect("open") else { continue };
                let job = delivery.envelope.as_ref().expect("well-formed").open::<Job>().expect("a job");
                return (delivery, job);
            }
        })
        .await
    }

    pub(crate) async fn claim(&self, job: JobId) -> ClaimAnswer {
        self.ask(job, false).await
    }

    /// Claims a copy that was delivered before.
    pub(crate) async fn claim_copy(&self, job: JobId) -> ClaimAnswer {
        self.ask(job, true).await
    }

    /// Claims, and does not live to hear the answer.
    pub(crate) async fn ask_in_vain(&self, job: JobId) {
        let question = self.question(job, false);
        self.broker.publish(question).await.expect("sent");
    }

    async fn ask(&self, job: JobId, redelivered: bool) -> ClaimAnswer {
        let question = self.question(job, redelivered);
        let answer = self.broker.request(question, PATIENCE).await.expect("answered");
        answer.open().expect("an answer")
    }

    fn question(&self, job: JobId, redelivered: bool) -> Outgoing {
        let (runner, incarnation, birth) = (self.name.clone(), self.life, self.birth);
        let claim = Claim { runner, incarnation, birth, pool: PoolName::default(), job, redelivered };
        let envelope = Envelope::of(&claim, MessageId(Uuid::new_v4())).expect("small");
        Outgoing::new(Exchange::Results, Topic::Claim(self.name.clone()).key(), envelope)
    }

    pub(crate) async fn claim_to_run(&self, job: JobId) -> Held {
        match self.claim(job).await {
            ClaimAnswer::Run { attempt, token } => Held { job, attempt, token },
            ClaimAnswer::Drop { reason } => panic!("dropped: {reason:?}"),
        }
    }

    /// Takes the next job that may be run and starts it; copies of other attempts' jobs are dropped.
    pub(crate) async fn begin(&mut self) -> (Delivery, Held) {
        loop {
            let (delivery, job) = self.take().await;
            match self.ask(job.id, delivery.redelivered).await {
                ClaimAnswer::Run { attempt, token } => return (delivery, Held { job: job.id, attempt, token }),
                ClaimAnswer::Drop { .. } => delivery.ack().await,
            };
        }
    }

    pub(crate) async fn finish(&self, held: &Held, outcome: Outcome, log: &[u8]) {
        let finished = Finished {
            runner: self.name.clone(),
            incarnation: self.life,
            job: held.job,
            attempt: held.attempt,
            token: held.token.clone(),
            outcome,
            steps: Vec::new(),
            started_at: Timestamp::now(),
            finished_at: Timestamp::now(),
            log_length: log.len() as u64,
            log_sha256: Sha256::digest(log).iter().map(|byte| format!("{byte:02x}")).collect(),
            test_pieces: 0,
        };
        self.say(&Topic::Result(self.name.clone()), &finished, finished.message_id()).await;
    }

    pub(crate) async fn pass(&self, held: &Held) {
        self.finish(held, Outcome::Passed, b"").await;
    }

    pub(crate) async fn hand_back(&self, held: &Held) {
        let back =
            HandBack { runner: self.name.clone(), job: held.job, attempt: held.attempt, token: held.token.clone() };
        self.say(&Topic::Result(self.name.clone()), &back, back.message_id()).await;
    }

    pub(crate) async fn log(&self, held: &Held, offset: u64, bytes: &[u8]) {
        let chunk =
            LogChunk { job: held.job, attempt: held.attempt, token: held.token.clone(), offset, bytes: bytes.to_vec() };
        let envelope = chunk.into_envelope().expect("small");
        self.broker.publish(Outgoing::new(Exchange::Logs, self.name.as_str(), envelope)).await.expect("sent");
    }
}

impl Held {
    fn running(&self) -> RunningAttempt {
        RunningAttempt { job: self.job, attempt: self.attempt, token: self.token.clone(), log_sent: 0 }
    }

    fn finished(&self) -> FinishedAttempt {
        FinishedAttempt { job: self.job, attempt: self.attempt, token: self.token.clone(), log_sent: 0 }
    }
}
