//! The verbs of the stories: a team's machine with repositories, a broker, and Thump's processes.
//!
//! Everything is real: git repositories, processes of the built program, RabbitMQ nodes. A story waits
//! for conditions with a deadline, never for time to pass.

pub(crate) mod measure;
pub(crate) mod process;
pub(crate) mod repository;
pub(crate) mod small_disk;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use process::Process;
pub(crate) use repository::Repository;

/// How long a story waits for anything. Generous: the machine may be busy, and a story that is right
/// never waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Which broker carries the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// One process, `thump up`.
    Embedded,
    /// A process per role over a virtual host of a real RabbitMQ node.
    Rabbit,
}

/// One machine with Thump on it.
pub(crate) struct World {
    folder: TempDir,
    carrier: Carrier,
    broker: Option<String>,
    /// URLs of roles (by their subcommands) with broker users of their own; the others take `broker`.
    pub(crate) logins: std::collections::HashMap<&'static str, String>,
    repositories: Vec<PathBuf>,
    http: reqwest::Client,
    server: String,
    processes: Vec<(String, Process)>,
    /// More words for `up` or `run`.
    pub(crate) runner_options: Vec<String>,
    /// More words for `up` or `observe`.
    pub(crate) observer_options: Vec<String>,
}

impl World {
    /// A machine on which nothing runs yet.
    pub(crate) async fn new(carrier: Carrier) -> Self {
        let broker = match carrier {
            Carrier::Embedded => None,
            Carrier::Rabbit => {
                let node = rabbit_node::shared().await.expect("a RabbitMQ node");
                Some(node.vhost().await.expect("a virtual host"))
            }
        };
        Self::with_broker(carrier, broker)
    }

    /// A machine on a RabbitMQ of the story's own, which it may kill.
    pub(crate) fn on_own_broker(url: String) -> Self {
        Self::with_broker(Carrier::Rabbit, Some(url))
    }

    fn with_broker(carrier: Carrier, broker: Option<String>) -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("thump-story-").tempdir().expect("a folder"),
            carrier,
            broker,
            logins: std::collections::HashMap::new(),
            repositories: Vec::new(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client"),
            server: String::new(),
            processes: Vec::new(),
            runner_options: vec!["--slots".into(), "2".into()],
            observer_options: Vec::new(),
        }
    }

    /// A machine on which everything runs and watches one new, empty repository.
    pub(crate) async fn running(carrier: Carrier) -> (Self, Repository) {
        let mut world = Self::new(carrier).await;
        let repository = world.repository("app");
        world.start().await;
        (world, repository)
    }

    /// A folder of the story's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The URL of this machine's RabbitMQ.
    pub(crate) fn broker_url(&self) -> &str {
        self.broker.as_deref().expect("a story over RabbitMQ")
    }

    /// Makes a repository that everything started later watches.
    pub(crate) fn repository(&mut self, name: &str) -> Repository {
        let repository = Repository::new(self.folder.path(), name);
        self.repositories.push(repository.path().to_owned());
        repository
    }

    /// Starts everything: `up`, or one process per role.
    pub(crate) async fn start(&mut self) {
        match self.carrier {
            Carrier::Embedded => self.start_up().await,
            Carrier::Rabbit => {
                self.start_dispatcher().await;
                self.start_observer();
                self.start_runner("runner");
            }
        }
    }

    /// Starts `thump up`.
    pub(crate) async fn start_up(&mut self) {
        let mut words = vec!["up".to_owned(), "--listen".into(), "127.0.0.1:0".into()];
        words.extend(self.runner_options.clone());
        words.extend(self.observer_options.clone());
        words.extend(self.repositories.iter().map(|path| path.display().to_string()));
        self.start_process("up", "data", &words);
        self.server = self.process("up").says_address().await;
    }

    /// Starts `thump dispatch`.
    pub(crate) async fn start_dispatcher(&mut self) {
        // A restarted dispatcher comes back where people know it.
        let listen = self.server.strip_prefix("http://").unwrap_or("127.0.0.1:0").to_owned();
        self.start_process("dispatcher", "dispatcher", &["dispatch".to_owned(), "--listen".into(), listen]);
        self.server = self.process("dispatcher").says_address().await;
    }

    /// Starts a second dispatcher on the first one's data folder, with a port of its own.
    pub(crate) fn start_standby(&mut self) {
        self.start_process("standby", "dispatcher", &["dispatch".to_owned(), "--listen".into(), "127.0.0.1:0".into()]);
    }

    /// Asks the standby from now on.
    pub(crate) async fn follow_standby(&mut self) {
        self.server = self.process("standby").says_address().await;
    }

    /// Starts `thump observe`.
    pub(crate) fn start_observer(&mut self) {
        let mut words = vec!["observe".to_owned()];
        words.extend(self.observer_options.clone());
        words.extend(self.repositories.iter().map(|path| path.display().to_string()));
        self.start_process("observer", "observer", &words);
    }

    /// Starts `thump run` under a name, with a data folder of its own.
    pub(crate) fn start_runner(&mut self, name: &str) {
        let mut words = vec!["run".to_owned(), "--name".into(), name.to_owned()];
        words.extend(self.runner_options.clone());
        self.start_process(name, name, &words);
    }

    pub(crate) fn start_process(&mut self, name: &str, data: &str, words: &[String]) {
        let mut command = process::thump();
        command.args(words).arg("--data").arg(self.path(data));
        if let Some(url) = self.logins.get(words[0].as_str()).or(self.broker.as_ref()) {
            command.env("THUMP_BROKER", url);
        }
        let log = self.path(&format!("{name}-{}.log", self.processes.len()));
        self.processes.push((name.to_owned(), Process::start(command, &log)));
    }

    /// The process that was started last under this name.
    pub(crate) fn process(&mut self, name: &str) -> &mut Process {
        let found = self.processes.iter_mut().rev().find(|(known, _)| known == name);
        &mut found.unwrap_or_else(|| panic!("no process {name} was started")).1
    }

    /// What `path` of the API answers.
    pub(crate) async fn api(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}{path}", self.server)).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    /// What `path` answers, as text, with its status.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.server)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    /// The address of page and API.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Every build of a commit.
    pub(crate) async fn builds(&self, commit: &str) -> Vec<Value> {
        match self.api(&format!("/api/v1/builds?commit={commit}")).await {
            Some(answer) => answer["builds"].as_array().cloned().unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Waits until every build of the commit has a verdict, and returns the only one.
    pub(crate) async fn verdict(&self, commit: &str) -> String {
        let builds = self.done(commit).await;
        assert_eq!(builds.len(), 1, "one commit on one ref is one build: {builds:#?}");
        builds[0]["verdict"].as_str().unwrap_or("none").to_owned()
    }

    /// Waits until the commit has a build and every build of it is done.
    pub(crate) async fn done(&self, commit: &str) -> Vec<Value> {
        self.eventually(&format!("a verdict on {commit}"), || async {
            let builds = self.builds(commit).await;
            let done = !builds.is_empty() && builds.iter().all(|build| build["state"] == "done");
            done.then_some(builds)
        })
        .await
    }

    /// Waits until the commit's first job runs, and returns the job.
    pub(crate) async fn running_job(&self, commit: &str) -> Value {
        self.eventually(&format!("a running job of {commit}"), || async {
            let builds = self.builds(commit).await;
            let jobs = builds.first()?["jobs"].as_array()?.clone();
            jobs.into_iter().find(|job| job["state"] == "running")
        })
        .await
    }

    /// The log of the only job of the commit's only build.
    pub(crate) async fn log(&self, commit: &str) -> String {
        let builds = self.builds(commit).await;
        let job = builds[0]["jobs"][0]["id"].as_str().expect("a job").to_owned();
        self.get(&format!("/api/v1/jobs/{job}/log")).await.1
    }

    /// How long the runner's log of that job was.
    pub(crate) async fn log_length(&self, commit: &str) -> usize {
        let builds = self.builds(commit).await;
        let job = builds[0]["jobs"][0]["id"].as_str().expect("a job").to_owned();
        let job = self.api(&format!("/api/v1/jobs/{job}")).await.expect("the job");
        let attempts = job["attempts"].as_array().expect("attempts");
        let length = attempts.last().expect("one")["log_length"].as_u64().expect("a length");
        usize::try_from(length).expect("small")
    }

    /// Asks again until there is an answer, or fails with what was waited for and what Thump said.
    pub(crate) async fn eventually<T, F, R>(&self, what: &str, ask: F) -> T
    where
        F: Fn() -> R,
        R: Future<Output = Option<T>>,
    {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            if begun.elapsed() > PATIENCE {
                panic!("waited {PATIENCE:?} for {what}\n{}", self.what_was_said());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the processes printed, for the report of a failed story.
    fn what_was_said(&self) -> String {
        self.processes.iter().map(|(name, process)| format!("--- {name}\n{}\n", process.output())).collect()
    }

    /// The lines that jobs themselves appended to a file: the truth about what ran.
    pub(crate) fn lines(&self, file: &str) -> Vec<String> {
        std::fs::read_to_string(self.path(file)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// A shell command by which a job appends a line to a file of the story.
    pub(crate) fn append(&self, file: &str, line: &str) -> String {
        format!("echo \"{line}\" >> '{}'", self.path(file).display())
    }

    /// A command that holds a job until the story makes the file.
    pub(crate) fn until(&self, file: &str) -> String {
        format!("until [ -e '{}' ]; do sleep 0.05; done", self.path(file).display())
    }

    /// Makes the file that a job waits for.
    pub(crate) fn make(&self, file: &str) {
        std::fs::write(self.path(file), "").expect("write");
    }

    /// The dispatcher's ledger, of a story with a process per role.
    pub(crate) fn ledger_file(&self) -> PathBuf {
        self.path("dispatcher/dispatcher/ledger.db")
    }

    /// Somebody else writes into the ledger and takes his time, until this is rolled back.
    pub(crate) async fn lock_ledger(&self) -> sqlx::SqliteConnection {
        use sqlx::Connection as _;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.ledger_file());
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("opened");
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("locked");
        connection
    }

    /// The process numbers of everything that runs.
    pub(crate) fn pids(&mut self) -> Vec<(String, u32)> {
        let mut pids = Vec::new();
        for (name, process) in &mut self.processes {
            if process.runs() {
                pids.push((name.clone(), process.id()));
            }
        }
        pids
    }

    /// What the health page names.
    pub(crate) async fn faults(&self) -> Vec<String> {
        let (status, body) = self.get("/healthz").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let faults: Vec<String> = body["faults"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|fault| fault.as_str().unwrap_or("?").to_owned())
            .collect();
        assert_eq!(status, if faults.is_empty() { 200 } else { 503 }, "{body}");
        faults
    }

    /// Waits until the health page names a fault in these words, which takes 15 s at most.
    pub(crate) async fn fault_named(&self, words: &str) {
        let begun = Instant::now();
        self.eventually(&format!("the health page to say {words:?}"), || async {
            self.faults().await.iter().any(|fault| fault.contains(words)).then_some(())
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(15), "it was named after {:?}", begun.elapsed());
    }

    /// How many messages were put aside.
    pub(crate) async fn dead_letters(&self) -> i64 {
        use sqlx::Connection as _;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.ledger_file()).read_only(true);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("opened");
        sqlx::query_scalar("SELECT count(*) FROM dead_letters").fetch_one(&mut connection).await.expect("counted")
    }

    /// Runs a client command against this machine and returns exit code, stdout and stderr.
    pub(crate) async fn thump(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = process::thump();
        command.args(words).env("THUMP_SERVER", &self.server);
        process::finish(command).await
    }
}

/// Waits until a file has at least this many lines.
pub(crate) async fn lines_in(path: &Path, at_least: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let lines: Vec<String> = std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect();
        if lines.len() >= at_least {
            return lines;
        }
        assert!(begun.elapsed() < PATIENCE, "waited for {at_least} lines in {}, found {lines:?}", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Tells each story once for every broker.
macro_rules! on_both_brokers {
    ($($(#[$meta:meta])* async fn $name:ident($carrier:ident) $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                use super::*;

                async fn story($carrier: crate::world::Carrier) $body

                #[tokio::test(flavor = "multi_thread")]
                async fn embedded() {
                    story(crate::world::Carrier::Embedded).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn rabbit() {
                    story(crate::world::Carrier::Rabbit).await;
                }
            }
        )*
    };
}
pub(crate) use on_both_brokers;
