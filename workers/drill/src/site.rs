//! A place with everything on it: a broker, a repository, and the roles, each with a line of its own that can be made bad
//! without the others noticing; or one process with the broker inside.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fault_proxy::Proxy;
use proof::faults::Role;
use rustix::process::Signal;

use crate::api::Api;
use crate::power::Power;
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

/// What carries the messages of a site.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// The broker inside `thump up`, under a weather that this seed makes.
    Embedded {
        /// For the dice of the weather.
        weather: u64,
    },
    /// A RabbitMQ.
    Rabbit {
        /// Where it is, as the roles would be told. It holds the address as text.
        url: String,
        /// Where the proxies find it.
        address: SocketAddr,
        /// Who can hurt its process, if anybody can.
        power: Option<Arc<dyn Power>>,
    },
}

/// The place.
#[derive(Debug)]
pub struct Site {
    // Processes end before the broker and the folder go: fields are dropped in this order.
    workers: BTreeMap<Role, Arc<Worker>>,
    /// What carries the messages.
    pub carrier: Carrier,
    /// The repository that is watched.
    pub repository: Repository,
    /// Asks whoever leads.
    pub api: Api,
    folder: PathBuf,
    _gone_at_the_end: Option<tempfile::TempDir>,
}

impl Site {
    /// Prepares the roles; none runs yet.
    ///
    /// # Errors
    ///
    /// The disk or the system's sockets refuse.
    pub async fn new(settings: &Settings, carrier: Carrier) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("thump-drill-").tempdir()?;
        let folder = temporary.path().to_owned();
        for name in ["logs", "locks"] {
            std::fs::create_dir(folder.join(name))?;
        }
        let repository = Repository::new(&folder.join("app.git"))?;
        let mut workers = BTreeMap::new();
        for role in cast(settings, &carrier) {
            let (proxy, broker) = match &carrier {
                Carrier::Embedded { .. } => (None, "embedded".to_owned()),
                Carrier::Rabbit { url, address, .. } => {
                    let proxy = Proxy::start(*address).await?;
                    let url = proxy.instead_of(url);
                    (Some(proxy), url)
                }
            };
            let recipe = Recipe {
                thump: settings.thump.clone(),
                words: words(role, &folder, settings, &carrier),
                broker,
                environment: settings.environment.clone(),
            };
            workers.insert(role, Arc::new(Worker::new(role, proxy, recipe, &folder.join("logs"))));
        }
        let serves = |role| matches!(role, Role::Dispatcher(_) | Role::Everything);
        let leaders = workers.values().filter(|worker| serves(worker.role)).cloned().collect();
        let api = Api::new(leaders)?;
        Ok(Self { workers, carrier, repository, api, folder, _gone_at_the_end: Some(temporary) })
    }

    /// The broker's URL, past all proxies; `None` where it is inside.
    pub fn url(&self) -> Option<&str> {
        match &self.carrier {
            Carrier::Embedded { .. } => None,
            Carrier::Rabbit { url, .. } => Some(url),
        }
    }

    /// Who can hurt the broker's process.
    pub fn power(&self) -> Option<&Arc<dyn Power>> {
        match &self.carrier {
            Carrier::Embedded { .. } => None,
            Carrier::Rabbit { power, .. } => power.as_ref(),
        }
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
    /// # Errors
    ///
    /// There is none on this site.
    pub fn worker(&self, role: Role) -> Result<&Arc<Worker>> {
        self.workers.get(&role).with_context(|| format!("no {role} on this site"))
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
        if let Some(power) = self.power() {
            drop(std::fs::write(self.folder.join("logs").join("broker.log"), power.log()));
        }
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
pub fn ended_well(status: ExitStatus, said: &str) -> bool {
    let unheard = said.is_empty() && status.signal() == Some(Signal::TERM.as_raw());
    status.success() || unheard
}

/// Who plays on a site.
fn cast(settings: &Settings, carrier: &Carrier) -> Vec<Role> {
    match carrier {
        Carrier::Embedded { .. } => vec![Role::Everything],
        Carrier::Rabbit { .. } => {
            let dispatchers = (0..settings.dispatchers).map(Role::Dispatcher);
            let runners = (0..settings.runners).map(Role::Runner);
            dispatchers.chain([Role::Observer]).chain(runners).collect()
        }
    }
}

fn words(role: Role, folder: &Path, settings: &Settings, carrier: &Carrier) -> Vec<String> {
    let text = |path: PathBuf| path.display().to_string();
    let words = match role {
        Role::Everything => {
            let weather = if let Carrier::Embedded { weather } = carrier { *weather } else { 0 };
            vec![
                "up".into(),
                text(folder.join("app.git")),
                "--listen".into(),
                "127.0.0.1:0".into(),
                "--weather".into(),
                weather.to_string(),
                "--slots".into(),
                (settings.slots * settings.runners).to_string(),
                "--drain-seconds".into(),
                settings.drain_seconds.to_string(),
            ]
        }
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
