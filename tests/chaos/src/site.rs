//! A place with everything on it: a RabbitMQ node of its own, a repository, and the roles, each with a line of its own
//! that can be made bad without the others noticing.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fault_proxy::Proxy;
use proof::faults::Role;
use rabbit_node::Node;
use rustix::process::Signal;

use crate::api::Api;
use crate::processes::Process;
use crate::repository::Repository;
use crate::worker::{Recipe, Worker};

/// How long a role may take to start talking, and to stop when told. Generous: machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// How a site is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The built program.
    pub thump: PathBuf,
    /// How many dispatchers; one leads, the others wait.
    pub dispatchers: usize,
    /// How many runners.
    pub runners: usize,
    /// How many jobs each of them runs at once.
    pub slots: usize,
    /// How long a stopped runner lets its jobs run on.
    pub drain_seconds: u64,
    /// More environment for every role.
    pub environment: Vec<(String, String)>,
}

impl Settings {
    /// Two dispatchers and four runners of two slots.
    pub fn new(thump: impl Into<PathBuf>) -> Self {
        Self { thump: thump.into(), dispatchers: 2, runners: 4, slots: 2, drain_seconds: 5, environment: Vec::new() }
    }
}

/// The place.
#[derive(Debug)]
pub struct Site {
    // Processes end before the broker and the folder go: fields are dropped in this order.
    workers: BTreeMap<Role, Arc<Worker>>,
    /// The broker.
    pub node: Node,
    /// The repository that is watched.
    pub repository: Repository,
    /// Asks whoever leads.
    pub api: Api,
    folder: PathBuf,
    _gone_at_the_end: Option<tempfile::TempDir>,
}

impl Site {
    /// Boots the broker and prepares the roles; none runs yet.
    ///
    /// # Errors
    ///
    /// No RabbitMQ is installed, or the disk refuses.
    pub async fn new(settings: &Settings) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("thump-chaos-").tempdir()?;
        let folder = temporary.path().to_owned();
        for name in ["logs", "locks"] {
            std::fs::create_dir(folder.join(name))?;
        }
        let node = Node::start().await?;
        let repository = Repository::new(&folder.join("app.git"))?;
        let mut workers = BTreeMap::new();
        let dispatchers = (0..settings.dispatchers).map(Role::Dispatcher);
        let runners = (0..settings.runners).map(Role::Runner);
        for role in dispatchers.chain([Role::Observer]).chain(runners) {
            let proxy = Proxy::start(node.address()).await?;
            let recipe = Recipe {
                thump: settings.thump.clone(),
                words: words(role, &folder, settings),
                broker: proxy.instead_of(&node.url()),
                environment: settings.environment.clone(),
            };
            workers.insert(role, Arc::new(Worker::new(role, proxy, recipe, &folder.join("logs"))));
        }
        let leaders = workers.values().filter(|worker| matches!(worker.role, Role::Dispatcher(_))).cloned().collect();
        let api = Api::new(leaders)?;
        Ok(Self { workers, node, repository, api, folder, _gone_at_the_end: Some(temporary) })
    }

    /// Starts every role.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or nobody leads in time.
    pub async fn start(&self) -> Result<()> {
        for worker in self.workers.values() {
            worker.start(&mut *worker.life().await)?;
        }
        self.eventually("a leader", || async { self.api.queues().await.ok() }).await?;
        Ok(())
    }

    /// The place of a role.
    ///
    /// # Panics
    ///
    /// There is none: the caller knows whom it asked for.
    pub fn worker(&self, role: Role) -> &Arc<Worker> {
        self.workers.get(&role).unwrap_or_else(|| panic!("no {role} on this site"))
    }

    /// All places.
    pub fn workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.workers.values()
    }

    /// The places of the runners.
    pub fn runners(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.workers().filter(|worker| matches!(worker.role, Role::Runner(_)))
    }

    /// A path below the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The site's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder below which the checkouts of a runner lie.
    pub fn folder_of(&self, role: Role) -> PathBuf {
        self.folder.join(role.to_string())
    }

    /// Asks again until there is an answer.
    ///
    /// # Errors
    ///
    /// There was none in time.
    pub async fn eventually<T, F, R>(&self, what: &str, ask: F) -> Result<T>
    where
        F: Fn() -> R,
        R: Future<Output = Option<T>>,
    {
        let answer = async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.with_context(|| format!("waited {PATIENCE:?} for {what}"))
    }

    /// Tells every role to stop, and names those that did not end well. Descendants that a runner had and that are
    /// still alive two seconds after all are returned too.
    pub async fn stop(&self) -> (Vec<String>, Vec<Process>) {
        let mut bad = Vec::new();
        let mut family = Vec::new();
        for worker in self.workers.values() {
            let life = worker.life().await;
            family.extend(life.process().map(Process::descendants).unwrap_or_default());
            life.signal(Signal::TERM);
        }
        for worker in self.workers.values() {
            let mut life = worker.life().await;
            match life.ends_within(PATIENCE).await {
                Some(status) if !ended_well(status, &life.output()) => {
                    bad.push(format!("{} ended with {status}", worker.role));
                }
                Some(_) => {}
                None => bad.push(format!("{} did not end when told", worker.role)),
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        (bad, family.into_iter().filter(|process| process.runs()).collect())
    }

    /// Leaves the folder where it is, for whoever looks for the cause, and adds the broker's log to the others.
    pub fn keep(&mut self) -> &Path {
        drop(std::fs::write(self.folder.join("logs").join("broker.log"), self.node.log()));
        if let Some(folder) = self._gone_at_the_end.take() {
            let _kept = folder.keep();
        }
        &self.folder
    }

    /// Asks for all builds with all attempts.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn recorded(&self) -> Result<Vec<proof::Build>> {
        for _ in 0..20 {
            match self.api.builds_in_full().await {
                Ok(builds) => return Ok(builds),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        bail!("nobody tells what is recorded")
    }
}

/// Exit code 0. One that was told to stop before it could say a word was not yet listening for signals.
pub(crate) fn ended_well(status: ExitStatus, said: &str) -> bool {
    let unheard = said.is_empty() && status.signal() == Some(Signal::TERM.as_raw());
    status.success() || unheard
}

fn words(role: Role, folder: &Path, settings: &Settings) -> Vec<String> {
    let text = |path: PathBuf| path.display().to_string();
    let words = match role {
        Role::Observer => vec!["observe".into(), text(folder.join("app.git"))],
        // One ledger for all dispatchers.
        Role::Dispatcher(_) => {
            let listen = "127.0.0.1:0".to_owned();
            return vec!["dispatch".into(), "--listen".into(), listen, "--data".into(), text(folder.join("ledger"))];
        }
        Role::Runner(_) => vec![
            "run".into(),
            "--name".into(),
            role.to_string(),
            "--slots".into(),
            settings.slots.to_string(),
            "--drain-seconds".into(),
            settings.drain_seconds.to_string(),
        ],
    };
    [words, vec!["--data".into(), text(folder.join(role.to_string()))]].concat()
}
