//! A runner, a broker inside the process, and a dispatcher that says what a story wants it to say.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker::{Broker, Embedded, Event, Exchange, Outgoing, Queue, Role, Topic};
use messages::{
    AttemptNumber, AttemptOrder, AttemptToken, Beat, BeatAnswer, BuildId, Claim, ClaimAnswer, CommitId, DropReason,
    Envelope, Finished, HandBack, Job, JobId, JobSpec, LogChunk, Message, MessageId, Order, PoolName, RepositorySource,
    Step, TestResults, Work,
};
use runner::{RunnerError, Settings, Stop};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long a story waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the dispatcher of a story knows, and how it behaves.
#[derive(Default)]
pub struct Ledger {
    /// Every claim that arrived.
    pub claims: Vec<Claim>,
    /// Every result that arrived.
    pub finished: Vec<Finished>,
    /// Every hand-back that arrived.
    pub handed_back: Vec<HandBack>,
    /// Every beat that arrived.
    pub beats: Vec<Beat>,
    /// Every piece of test results that arrived.
    pub tests: Vec<TestResults>,
    /// The bytes of each log by their offset.
    pub logs: HashMap<JobId, BTreeMap<u64, Vec<u8>>>,
    /// What a beat's answer says of these jobs instead of the usual.
    pub orders: HashMap<JobId, Order>,
    /// From where the log of these jobs is asked for again, once.
    pub log_from: HashMap<JobId, u64>,
    /// Jobs whose claim is answered with drop.
    pub refuse: Vec<JobId>,
    /// It reads nothing and answers nothing.
    pub away: bool,
    attempts: HashMap<JobId, u32>,
}

impl Ledger {
    /// What arrived of a log, from its beginning to the first gap.
    pub fn log(&self, job: JobId) -> Vec<u8> {
        let mut whole: Vec<u8> = Vec::new();
        for (offset, bytes) in self.logs.get(&job).into_iter().flatten() {
            let Some(known) = (whole.len() as u64).checked_sub(*offset) else { break };
            let known = usize::try_from(known).expect("fits");
            whole.extend_from_slice(bytes.get(known..).unwrap_or_default());
        }
        whole
    }

    /// The result of a job, if it is there with its whole log.
    pub fn result(&self, job: JobId) -> Option<&Finished> {
        let finished = self.finished.iter().find(|finished| finished.job == job)?;
        (self.log(job).len() as u64 == finished.log_length).then_some(finished)
    }
}

/// Gives a role its connection; true for the one that declares queues.
type Connect = Box<dyn Fn(&str, bool) -> Broker + Send + Sync>;

/// Everything around a runner.
pub struct World {
    pub broker: Broker,
    connect: Connect,
    ledger: Arc<Mutex<Ledger>>,
    changed: watch::Receiver<u64>,
    pub folder: tempfile::TempDir,
}

/// A runner in this process.
pub struct Running {
    pub stop: Stop,
    pub task: JoinHandle<Result<(), RunnerError>>,
}

impl Running {
    /// Drains it and waits for its end.
    pub async fn drain(self) {
        self.stop.drain.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("leaves in time").expect("no panic").expect("no error");
    }
}

impl World {
    /// On the broker inside the process.
    pub async fn new() -> Self {
        let embedded = Embedded::new();
        Self::on(Box::new(move |name, declares_topology| {
            embedded.connect(Role { name: name.to_owned(), declares_topology })
        }))
        .await
    }

    /// On a real RabbitMQ.
    pub async fn on_rabbit(url: String) -> Self {
        Self::on(Box::new(move |name, declares_topology| {
            Broker::rabbit(&url, Role { name: name.to_owned(), declares_topology }).expect("is a URL")
        }))
        .await
    }

    async fn on(connect: Connect) -> Self {
        let broker = connect("dispatcher", true);
        broker.wait_until_up().await.expect("connects");
        let queues = [Queue::Jobs(PoolName::default()), Queue::Results, Queue::Logs, Queue::Dead];
        broker.ensure(&queues).await.expect("declares");
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (change, changed) = watch::channel(0);
        tokio::spawn(dispatch(broker.clone(), ledger.clone(), change));
        Self { broker, connect, ledger, changed, folder: tempfile::tempdir().expect("temporary folder") }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("not poisoned")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.data(), env!("CARGO_BIN_EXE_runner-for-tests").into());
        settings.grace = Duration::from_millis(300);
        settings.beat_every = Duration::from_millis(200);
        settings
    }

    pub fn start(&self) -> Running {
        self.start_with(self.settings())
    }

    pub fn start_with(&self, settings: Settings) -> Running {
        let broker = (self.connect)("runner", false);
        let stop = Stop::default();
        Running { stop: stop.clone(), task: tokio::spawn(runner::run(settings, broker, stop)) }
    }

    /// Makes a repository with these files and gives its tip.
    pub fn repository(&self, name: &str, files: &[(&str, &str)]) -> (RepositorySource, CommitId) {
        let path = self.folder.path().join(name);
        let repository = git2::Repository::init(&path).expect("makes a repository");
        let commit = commit(&repository, files);
        let url = path.to_str().expect("is text").to_owned();
        (RepositorySource { name: name.parse().expect("is a name"), url }, commit)
    }

    /// Queues a job with these steps on a repository of its own.
    pub async fn queue(&self, steps: &[&str]) -> Job {
        let job = self.job(steps);
        self.publish(&job).await;
        job
    }

    pub fn job(&self, steps: &[&str]) -> Job {
        let name = format!("r{}", Uuid::new_v4().simple());
        let (repository, commit) = self.repository(&name, &[("hello.txt", "hello\n")]);
        let steps = steps.iter().map(|&run| Step { run: run.to_owned() }).collect();
        job(repository, commit, Work::Steps { steps })
    }

    pub async fn publish(&self, job: &Job) {
        let envelope = Envelope::of(job, job.message_id()).expect("packs");
        self.publish_raw(envelope).await;
    }

    pub async fn publish_raw(&self, envelope: Envelope) {
        let outgoing = Outgoing::new(Exchange::Jobs, PoolName::DEFAULT, envelope);
        self.broker.publish(outgoing).await.expect("publishes");
    }

    /// Waits until the dispatcher knows something.
    pub async fn until<T>(&self, mut known: impl FnMut(&Ledger) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let wait = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = known(&self.ledger()) {
                    return found;
                }
                changed.changed().await.expect("the dispatcher lives");
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it happens in time")
    }

    /// Waits for the result of a job and its whole log.
    pub async fn result(&self, job: &Job) -> (Finished, String) {
        self.until(|ledger| {
            let finished = ledger.result(job.id)?.clone();
            Some((finished, String::from_utf8_lossy(&ledger.log(job.id)).into_owned()))
        })
        .await
    }

    /// Waits until the log of a job has this text.
    pub async fn until_logged(&self, job: &Job, text: &str) {
        let has = |ledger: &Ledger| String::from_utf8_lossy(&ledger.log(job.id)).contains(text).then_some(());
        self.until(has).await;
    }

    /// How many job messages nobody holds.
    pub async fn waiting(&self) -> u64 {
        self.broker.depth(&Queue::Jobs(PoolName::default())).await.expect("measures").ready
    }
}

pub fn job(repository: RepositorySource, commit: CommitId, work: Work) -> Job {
    let spec = JobSpec::new(work, 60);
    Job {
        id: JobId(Uuid::new_v4()),
        build: BuildId(Uuid::new_v4()),
        build_number: 7,
        repository,
        ref_name: "refs/heads/main".parse().expect("is a ref"),
        commit,
        name: "test".into(),
        pool: PoolName::default(),
        spec,
    }
}

/// Commits these files on top of HEAD.
pub fn commit(repository: &git2::Repository, files: &[(&str, &str)]) -> CommitId {
    let mut index = repository.index().expect("has an index");
    for (name, text) in files {
        let path = repository.workdir().expect("is not bare").join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes a folder");
        std::fs::write(path, text).expect("writes");
        index.add_path(Path::new(name)).expect("adds");
    }
    index.write().expect("writes");
    let tree = repository.find_tree(index.write_tree().expect("writes")).expect("finds");
    let who = git2::Signature::now("a", "a@example.org").expect("is a signature");
    let parent = repository.head().ok().and_then(|head| head.peel_to_commit().ok());
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    let id = repository.commit(Some("HEAD"), &who, &who, "story", &tree, &parents).expect("commits");
    id.to_string().parse().expect("is an id")
}

/// Waits until something outside the broker is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < until, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process lives; one that only waits to be collected does not.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Reads a process id that a job wrote.
pub async fn pid_in(path: &Path) -> u32 {
    let mut found = None;
    eventually("the job wrote its process id", || {
        found = std::fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
            .and_then(|text| text.trim().parse().ok());
        found.is_some()
    })
    .await;
    found.expect("was found")
}

async fn dispatch(broker: Broker, ledger: Arc<Mutex<Ledger>>, change: watch::Sender<u64>) {
    let mut results = broker.consume(Queue::Results, 100);
    let mut logs = broker.consume(Queue::Logs, 100);
    loop {
        while ledger.lock().expect("not poisoned").away {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let event = tokio::select! {
            event = results.next() => event,
            event = logs.next() => event,
        };
        let Some(Event::Delivery(delivery)) = event else { continue };
        let envelope = delivery.envelope.clone().expect("is well formed");
        let answer = note(&mut ledger.lock().expect("not poisoned"), &envelope);
        match answer {
            Answer::None => {}
            Answer::Claim(answer) => {
                let answer = Envelope::of(&answer, MessageId(Uuid::new_v4())).expect("packs");
                // A broker that is away loses it, and the runner asks again.
                drop(broker.reply(&envelope, answer).await);
            }
            Answer::Beat(to, answer) => {
                let envelope = Envelope::of(&answer, MessageId(Uuid::new_v4())).expect("packs");
                // A runner that has gone meanwhile needs no answer.
                drop(broker.publish(Outgoing::new(Exchange::Control, to.key(), envelope)).await);
            }
        }
        delivery.ack().await;
        change.send_modify(|count| *count += 1);
    }
}

enum Answer {
    None,
    Claim(ClaimAnswer),
    Beat(Topic, BeatAnswer),
}

fn note(ledger: &mut Ledger, envelope: &Envelope) -> Answer {
    match envelope.kind.as_str() {
        Claim::KIND => {
            let claim: Claim = envelope.open().expect("is a claim");
            let job = claim.job;
            ledger.claims.push(claim);
            // The same question gets the same answer, as long as the job has no result.
            if ledger.refuse.contains(&job) || ledger.finished.iter().any(|finished| finished.job == job) {
                return Answer::Claim(ClaimAnswer::Drop { reason: DropReason::Finished });
            }
            let attempt = ledger.attempts.entry(job).or_default();
            *attempt += 1;
            Answer::Claim(ClaimAnswer::Run { attempt: AttemptNumber(*attempt), token: token() })
        }
        Finished::KIND => {
            ledger.finished.push(envelope.open().expect("is a result"));
            Answer::None
        }
        HandBack::KIND => {
            ledger.handed_back.push(envelope.open().expect("is a hand-back"));
            Answer::None
        }
        TestResults::KIND => {
            ledger.tests.push(envelope.open().expect("are test results"));
            Answer::None
        }
        LogChunk::KIND => {
            let chunk = LogChunk::from_envelope(envelope).expect("is a chunk");
            ledger.logs.entry(chunk.job).or_default().insert(chunk.offset, chunk.bytes);
            Answer::None
        }
        _ => {
            let beat: Beat = envelope.open().expect("is a beat");
            let running = beat.running.iter().map(|one| (one.job, one.attempt));
            let finished = beat.finished.iter().map(|one| (one.job, one.attempt));
            let orders = running.chain(finished).map(|(job, attempt)| order(ledger, job, attempt)).collect();
            let to = Topic::Runner(beat.runner.clone());
            let answer = BeatAnswer { incarnation: beat.incarnation, sequence: beat.sequence, orders, drain: false };
            ledger.beats.push(beat);
            Answer::Beat(to, answer)
        }
    }
}

fn order(ledger: &mut Ledger, job: JobId, attempt: AttemptNumber) -> AttemptOrder {
    let log_from = ledger.log_from.remove(&job);
    let usual = if ledger.handed_back.iter().any(|back| back.job == job && back.attempt == attempt) {
        Order::Void
    } else if ledger.result(job).is_some() && log_from.is_none() {
        Order::Recorded
    } else {
        Order::Continue
    };
    AttemptOrder { job, attempt, order: ledger.orders.get(&job).copied().unwrap_or(usual), log_from }
}

pub fn token() -> AttemptToken {
    AttemptToken::from_random([5; 16])
}
