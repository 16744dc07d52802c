//! Sees commits and announces each until it is recorded.
//!
//! ```text
//! file_watch / timer -> repository -> tips -> walk -> announce -> describe -> broker
//!                                      cursor <- book <- post <- recorded
//! ```
//! One task per repository looks at its tips (`tips`, for remotes through a `mirror` that the git program
//! keeps up to date), plans what is new (`walk`) and announces it (`announce`); the cursor of a ref moves
//! only when the dispatcher has answered `recorded` for everything before. Must not know: the ledger, the
//! pipeline's meaning, jobs, runners.

mod announce;
mod book;
mod changed;
mod cursor;
pub mod decoders;
mod describe;
mod error;
mod file_watch;
mod files;
mod git_program;
mod lock;
mod mirror;
mod names;
mod once;
mod post;
mod repository;
mod resolve;
mod tips;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use messages::{Incarnation, ObserverName};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;
use uuid::Uuid;

pub use book::Book;
pub use error::{ObserverError, Problem, RepositoryError, StateFileError};
pub use once::{AnnouncedTip, OnceReport, announce_tips_once};
pub use resolve::{Location, Watched, resolve};
pub use walk::{Depth, Move, Sighting, Update};

use file_watch::FileWatches;
use lock::FolderLock;
use mirror::Limits;
use post::Post;
use repository::Task;
use tips::Patterns;
use walk::Bounds;

/// After a repository's task ended by a fault in this program, it starts anew after this.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// How an observer works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name: the dispatcher answers to it, so two observers at work have two names.
    pub name: ObserverName,
    /// This observer's own folder: cursors, names, mirrors. One observer per folder.
    pub data: PathBuf,
    /// What to watch; see [`resolve()`].
    pub repositories: Vec<Watched>,
    /// How often a remote is asked, ± 20 %.
    pub poll: Duration,
    /// How often a local repository is read even if the system reported no change, ± 20 %.
    pub local_poll: Duration,
    /// The most commits that one move of a ref announces; the newest of them.
    pub max_commits: usize,
    /// Whether all commits of a move are announced or only the last one.
    pub depth: Depth,
    /// Which branches are watched: glob patterns on the name without `refs/heads/`; `*` matches `/` too.
    pub branches: Vec<String>,
    /// Which tags are watched: glob patterns on the name without `refs/tags/`.
    pub tags: Vec<String>,
    /// How long the first answer to an announcement is waited for before it is repeated; then twice as
    /// long each time, up to 5 minutes.
    pub announce_again: Duration,
    /// How long a remote may be silent, and how long it may take to list its refs.
    pub git_idle: Duration,
    /// How long one fetch may take in all; the first one brings the whole history.
    pub git_overall: Duration,
}

impl Settings {
    /// The usual settings: all branches, no tags, every commit.
    pub fn new(name: ObserverName, data: PathBuf, repositories: Vec<Watched>) -> Self {
        Self {
            name,
            data,
            repositories,
            poll: Duration::from_secs(10),
            local_poll: Duration::from_secs(60),
            max_commits: 1000,
            depth: Depth::EveryCommit,
            branches: vec!["*".to_owned()],
            tags: Vec::new(),
            announce_again: Duration::from_secs(30),
            git_idle: Duration::from_secs(30),
            git_overall: Duration::from_secs(3600),
        }
    }
}

/// Watches and announces until it is stopped. Trouble with a repository or the broker never ends it.
///
/// # Errors
/// What no retry mends: see [`ObserverError`].
pub async fn run(settings: Settings, broker: Broker, stop: CancellationToken) -> Result<(), ObserverError> {
    let office = Office::open(&settings, broker, stop)?;
    let mut repositories = JoinSet::new();
    for task in office.tasks(&settings) {
        repositories.spawn(keep_running(task));
    }
    // Without repositories there is still a stop to wait for.
    let stopped = office.stop.clone();
    let work = async {
        stopped.cancelled().await;
        while repositories.join_next().await.is_some() {}
    };
    office.while_listening(work).await
}

/// A fault in this program that one repository provokes must not end the others.
async fn keep_running(task: Task) {
    while let Err(cause) = AbortOnDropHandle::new(tokio::spawn(task.clone().run())).await {
        error!(repository = %task.watched.source.name, %cause, "the repository's task broke down; starting anew");
        tokio::select! {
            () = task.stop.cancelled() => return,
            () = tokio::time::sleep(AFTER_PANIC) => {}
        }
    }
}

/// What all repositories' tasks share while an observer works.
struct Office {
    broker: Broker,
    post: Post,
    patterns: Patterns,
    files: Arc<FileWatches>,
    name: ObserverName,
    incarnation: Incarnation,
    stop: CancellationToken,
    _lock: FolderLock,
}

impl Office {
    fn open(settings: &Settings, broker: Broker, stop: CancellationToken) -> Result<Self, ObserverError> {
        let patterns = Patterns::new(&settings.branches, &settings.tags)?;
        let lock = FolderLock::take(&settings.data)?;
        let (name, incarnation) = (settings.name.clone(), Incarnation(Uuid::now_v7()));
        let (post, files) = (Post::new(), FileWatches::new());
        Ok(Self { broker, post, patterns, files, name, incarnation, stop, _lock: lock })
    }

    fn tasks<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = Task> + 'a {
        settings.repositories.iter().map(|watched| Task {
            watched: watched.clone(),
            observer: self.name.clone(),
            incarnation: self.incarnation,
            data: settings.data.clone(),
            patterns: self.patterns.clone(),
            bounds: Bounds { max_commits: settings.max_commits, depth: settings.depth },
            poll: settings.poll,
            local_poll: settings.local_poll,
            announce_again: settings.announce_again,
            limits: Limits { idle: settings.git_idle, overall: settings.git_overall },
            broker: self.broker.clone(),
            post: self.post.clone(),
            files: Arc::clone(&self.files),
            stop: self.stop.clone(),
        })
    }

    /// Does `work` while answers are delivered; ends early when the broker refuses for good.
    async fn while_listening(&self, work: impl Future<Output = ()>) -> Result<(), ObserverError> {
        let refused = async {
            match self.broker.wait_until_up().await {
                Err(refused) => refused,
                Ok(()) => std::future::pending().await,
            }
        };
        let listening = async {
            self.post.deliver(&self.broker, self.name.clone(), self.incarnation).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => Ok(()),
            refused = refused => Err(refused.into()),
            () = listening => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "../tests/world/scratch.rs"]
mod scratch;
