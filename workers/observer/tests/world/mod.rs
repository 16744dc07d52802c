//! A small world for the observer: an embedded broker, a dispatcher that only answers `recorded`, and
//! repositories. Its verbs wait for conditions, never for a guessed time.

pub mod scratch;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, Embedded, Event, Exchange, Outgoing, Queue, Role, Topic};
use messages::{CommitId, CommitSeen, Envelope, Message as _, MessageId, ObserverName, Recorded, RefusedCommit};
use observer::{ObserverError, Settings, Watched};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes; a story that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    embedded: Embedded,
    pub data: TempDir,
    seen: watch::Receiver<Vec<CommitSeen>>,
    pub answering: Arc<AtomicBool>,
    pub refusing: Arc<Mutex<Option<CommitId>>>,
    dispatcher: JoinHandle<()>,
}

/// An observer at work; stopped when dropped, as by a kill: nothing is saved at the end.
pub struct Watching {
    pub stop: CancellationToken,
    task: Option<JoinHandle<Result<(), ObserverError>>>,
}

pub fn name() -> ObserverName {
    "watcher".parse().expect("a name")
}

fn role(name: &str, declares_topology: bool) -> Role {
    Role { name: name.to_owned(), declares_topology }
}

impl World {
    pub async fn start() -> Self {
        let world = Self::without_queues();
        world.declare().await;
        world
    }

    /// The dispatcher has not declared anything yet.
    pub fn without_queues() -> Self {
        let embedded = Embedded::new();
        let (told, seen) = watch::channel(Vec::new());
        let answering = Arc::new(AtomicBool::new(true));
        let refusing = Arc::default();
        let broker = embedded.connect(role("dispatcher", true));
        let dispatcher = tokio::spawn(dispatch(broker, told, Arc::clone(&answering), Arc::clone(&refusing)));
        let data = TempDir::with_prefix("observer-test-").expect("a temporary folder");
        Self { embedded, data, seen, answering, refusing, dispatcher }
    }

    pub async fn declare(&self) {
        self.embedded.connect(role("topology", true)).ensure(&Queue::COMMON).await.expect("declared");
    }

    pub fn broker(&self) -> Broker {
        self.embedded.connect(role("observer", false))
    }

    pub fn resolve(&self, typed: &[&Path]) -> Vec<Watched> {
        let typed: Vec<_> = typed.iter().map(|path| path.display().to_string()).collect();
        observer::resolve(&typed, self.data.path()).expect("repositories")
    }

    pub fn settings(&self, repositories: Vec<Watched>) -> Settings {
        Settings {
            poll: Duration::from_millis(200),
            announce_again: Duration::from_millis(300),
            git_idle: Duration::from_secs(20),
            ..Settings::new(name(), self.data.path().to_owned(), repositories)
        }
    }

    pub fn watch(&self, typed: &[&Path]) -> Watching {
        self.watch_with(self.settings(self.resolve(typed)))
    }

    pub fn watch_with(&self, settings: Settings) -> Watching {
        let stop = CancellationToken::new();
        let task = tokio::spawn(observer::run(settings, self.broker(), stop.clone()));
        Watching { stop, task: Some(task) }
    }

    /// Everything that arrived, repeats included.
    pub fn arrived(&self) -> Vec<CommitSeen> {
        self.seen.borrow().clone()
    }

    /// The commits that arrived for one repository, in order, repeats included.
    pub fn commits_of(&self, repository: &str) -> Vec<CommitId> {
        let of = |seen: &CommitSeen| (seen.repository.name.as_str() == repository).then(|| seen.commit.clone());
        self.seen.borrow().iter().filter_map(of).collect()
    }

    /// Waits until `done` says so about all that arrived.
    pub async fn until(&self, what: &str, done: impl Fn(&[CommitSeen]) -> bool) {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| done(seen))).await;
        assert!(waited.is_ok(), "waited too long for {what}; arrived: {:#?}", self.summary());
    }

    pub async fn until_commit(&self, commit: &CommitId) {
        self.until(&format!("commit {commit}"), |seen| seen.iter().any(|seen| seen.commit == *commit)).await;
    }

    /// Waits until the cursor file of a repository names this commit: everything before is recorded.
    pub async fn until_cursor(&self, repository: &str, commit: &CommitId) {
        let file = self.data.path().join("cursors").join(format!("{repository}.json"));
        until("the cursor", || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(commit.as_str()))).await;
    }

    fn summary(&self) -> Vec<String> {
        let line = |seen: &CommitSeen| format!("{} {} {}", seen.repository.name, seen.ref_name, seen.commit);
        self.arrived().iter().map(line).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.dispatcher.abort();
    }
}

impl Watching {
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("no panic").expect("a clean end");
        }
    }

    /// Ends it at once, like the end of its process.
    pub async fn kill(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            assert!(task.await.is_err());
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Waits for a condition outside of the broker.
pub async fn until(what: &str, done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited too long for {what}");
}

/// Records what arrives and answers, as the real dispatcher does; knows no ledger.
async fn dispatch(
    broker: Broker,
    told: watch::Sender<Vec<CommitSeen>>,
    answering: Arc<AtomicBool>,
    refusing: Arc<Mutex<Option<CommitId>>>,
) {
    let mut commits = broker.consume(Queue::Commits, 100);
    while let Some(event) = commits.next().await {
        let Event::Delivery(delivery) = event else { continue };
        let envelope = delivery.envelope.as_ref().expect("well formed");
        let seen: CommitSeen = envelope.open().expect("a commit");
        assert_eq!(envelope.id, seen.message_id());
        let refused = *refusing.lock().expect("no panic") == Some(seen.commit.clone());
        let answer = if refused {
            let refused = RefusedCommit { id: seen.message_id(), why: "for the story".to_owned() };
            Recorded { commits: Vec::new(), refused: vec![refused] }
        } else {
            Recorded { commits: vec![seen.message_id()], refused: Vec::new() }
        };
        let key = Topic::Observer(seen.observer.clone()).key();
        told.send_modify(|all| all.push(seen));
        delivery.ack().await;
        if answering.load(Ordering::SeqCst) {
            let id = MessageId::of(&[Recorded::KIND, &told.borrow().len().to_string()]);
            let envelope = Envelope::of(&answer, id).expect("small");
            // The observer may be gone; it asks again when it is back.
            drop(broker.publish(Outgoing::new(Exchange::Control, key, envelope)).await);
        }
    }
}
