//! One seed: two dispatchers, runners, an observer and a broker, a time with faults, and a time without.

#[path = "fate.rs"]
mod fate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::{Climate, Exchange, Role, Weather};
use jiff::Timestamp;
use messages::{Arrival, Author, Birth, ChangedPaths, CommitSeen, Incarnation, PipelineSource, RepositorySource};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::announcer::{self, Repository};
use crate::dice::{Dice, Hash};
use crate::hands::{Simulated, Spool};
use crate::truth::{Inside, Truth};

/// In simulated time: what is not done so long after the last fault is stuck.
const LIVENESS: Duration = Duration::from_secs(900);

/// What one thread needs for all its seeds.
pub struct Bench {
    folder: tempfile::TempDir,
    auditor: Option<SqliteConnection>,
}

/// What one seed came to.
#[derive(Debug, Default)]
pub struct Report {
    pub hash: Hash,
    pub lines: u64,
    pub violations: Vec<String>,
    pub faults: BTreeMap<&'static str, u64>,
    pub jobs: u64,
    pub attempts: u64,
    pub runs: u64,
    /// Simulated, in seconds.
    pub seconds: f64,
}

impl Bench {
    pub fn new() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let path = folder.path().join("ledger.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let auditor = runtime.block_on(async {
            store::simulated::make_ready(&path, 5).await?;
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).read_only(true);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(SqliteConnection::connect_with(&options).await?)
        })?;
        Ok(Self { folder, auditor: Some(auditor) })
    }

    /// Lives through one seed.
    pub fn run(&mut self, seed: u64, aloud: bool) -> Report {
        let folder = self.folder.path().to_owned();
        let path = folder.join("ledger.db");
        drop(std::fs::remove_dir_all(folder.join("logs")));
        if let Err(cause) = store::simulated::empty(&path) {
            return Report {
                violations: vec![format!("the ledger could not be emptied: {cause}")],
                ..Report::default()
            };
        }
        let Some(auditor) = self.auditor.take() else {
            return Report { violations: vec!["the auditor is gone".to_owned()], ..Report::default() };
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let Ok(runtime) = runtime else {
            return Report { violations: vec!["no runtime".to_owned()], ..Report::default() };
        };
        let (mut report, truth) = runtime.block_on(async {
            let _seed = seams::chance::Seed::new(seed);
            let (world, deaths) = World::new(seed, folder, auditor, aloud);
            let outcome = world.live(deaths).await;
            seams::crash::arm(None);
            // What was aborted ends, and writers leave their connections.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            outcome
        });
        drop(runtime);
        match truth.into_inside() {
            Some(inside) => {
                let Inside { ledger, hash, lines, violations, runs, .. } = inside;
                self.auditor = Some(ledger);
                report.hash = hash;
                report.lines = lines;
                report.violations = violations;
                report.runs = runs.len() as u64;
            }
            None => report.violations.push("somebody outlived the seed".to_owned()),
        }
        report
    }
}

/// What happens next.
#[derive(Debug)]
enum Deed {
    Push(Box<CommitSeen>),
    Fault,
    Restart(String),
    Release(String),
    StartBroker,
    AlarmOff,
    Accept(Exchange),
    Calm,
    End,
}

struct World {
    seed: u64,
    dice: Dice,
    folder: PathBuf,
    weather: Weather,
    truth: Truth,
    repository: Repository,
    spools: BTreeMap<String, Spool>,
    lives: BTreeMap<String, u64>,
    alive: BTreeMap<String, Process>,
    agenda: BTreeMap<(Instant, u64), Deed>,
    entries: u64,
    faults: BTreeMap<&'static str, u64>,
    begun: Instant,
    /// For people's orders.
    office: Option<store::Ledger>,
}

struct Process {
    task: AbortHandle,
    drain: CancellationToken,
    now: CancellationToken,
}

impl World {
    fn new(seed: u64, folder: PathBuf, auditor: SqliteConnection, aloud: bool) -> (Self, mpsc::Receiver<String>) {
        let (deaths, dead) = mpsc::channel(64);
        let world = Self {
            seed,
            dice: Dice::new(seed),
            folder,
            weather: Weather::new(seed),
            truth: Truth::new(auditor, aloud, deaths),
            repository: Repository::default(),
            spools: BTreeMap::new(),
            lives: BTreeMap::new(),
            alive: BTreeMap::new(),
            agenda: BTreeMap::new(),
            entries: 0,
            faults: BTreeMap::new(),
            begun: Instant::now(),
            office: None,
        };
        (world, dead)
    }

    fn plan(&mut self, after: Duration, deed: Deed) {
        self.entries += 1;
        self.agenda.insert((Instant::now() + after, self.entries), deed);
    }

    fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    async fn live(mut self, mut dead: mpsc::Receiver<String>) -> (Report, Truth) {
        let witness = self.truth.clone();
        self.weather.witness(move |seen| witness.get().see(seen));
        let runners = self.dice.between(1, 3);
        let mut names = vec!["dispatcher-0".to_owned(), "eye".to_owned()];
        if self.dice.percent(40) {
            names.push("dispatcher-1".to_owned());
        }
        names.extend((0..runners).map(|number| format!("runner-{number}")));
        self.office = store::Ledger::open(&self.url(), &self.folder).await.ok();
        self.climate();
        for name in &names {
            self.start(name).await;
        }
        let length = self.dice.between(15, 60);
        for number in 0..self.dice.between(2, 5) {
            let after = self.dice.millis(0, length * 600);
            let seen = self.commit(number);
            self.plan(after, Deed::Push(Box::new(seen)));
        }
        for _ in 0..self.dice.between(4, 16) {
            let after = self.dice.millis(0, length * 1000);
            self.plan(after, Deed::Fault);
        }
        self.plan(Duration::from_secs(length), Deed::End);
        self.arm();
        while let Some(when) = self.agenda.first_key_value().map(|((when, _), _)| *when) {
            tokio::select! {
                biased;
                Some(name) = dead.recv() => self.die(&name),
                () = sleep_until(when) => {
                    let Some((_, deed)) = self.agenda.pop_first() else { break };
                    if matches!(deed, Deed::End) {
                        break;
                    }
                    self.act(deed).await;
                }
            }
        }
        self.fine().await;
        self.settle(&names).await;
        self.finish()
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.join("ledger.db").display())
    }

    /// At each commit the dispatchers can die. (Both: which one commits is not told.)
    fn arm(&mut self) {
        let (truth, mut dice) = (self.truth.clone(), Dice::of(self.seed, &["crash"]));
        let chance = dice.below(25);
        seams::crash::arm(Some(Box::new(move |point| {
            let mut truth = truth.get();
            if point == seams::crash::Point::AfterCommit {
                truth.audit();
            }
            let dies = chance > 0 && !truth.office && dice.below(1000) < chance;
            if dies {
                truth.note(format_args!("dies    the dispatchers {point:?}"));
                truth.deaths.try_send("dispatcher".to_owned()).ok();
            }
            dies
        })));
    }

    fn climate(&mut self) {
        let dice = &mut self.dice;
        let some =
            |dice: &mut Dice, most| if dice.percent(50) { u32::try_from(dice.below(most)).unwrap_or(0) } else { 0 };
        let delay = if dice.percent(25) { dice.millis(1, 2_500) } else { dice.millis(0, 4) };
        let climate = Climate {
            delay,
            duplicate: some(dice, 100),
            lose_message: some(dice, 15),
            lose_confirm: some(dice, 15),
            lose_ack: some(dice, 15),
            lose_answer: some(dice, 200),
            echo: some(dice, 50),
        };
        self.truth.note(format_args!("weather {climate:?}"));
        self.weather.set(climate);
    }

    fn commit(&mut self, number: u64) -> CommitSeen {
        let id = format!("{:040x}", u128::from(self.dice.next()) << 32 | u128::from(number));
        let one = "[[job]]\nname = \"test\"\nsteps = [\"true\"]\n";
        let two = "[[job]]\nname = \"build\"\nsteps = [\"true\"]\n[[job]]\nname = \"test\"\nneeds = [\"build\"]\nsteps = [\"true\"]\n";
        let alone = "[[job]]\nname = \"test\"\nexclusive = true\nsteps = [\"true\"]\n";
        let text = match self.dice.below(8) {
            0..2 => two,
            2..4 => alone,
            _ => one,
        };
        CommitSeen {
            observer: "eye".parse().expect("a name"),
            incarnation: Incarnation(Uuid::nil()),
            repository: RepositorySource { name: "north".parse().expect("a name"), url: "/north".to_owned() },
            ref_name: "refs/heads/main".parse().expect("a ref"),
            commit: id.parse().expect("an id"),
            tree: id.parse().expect("an id"),
            parents: Vec::new(),
            author: Author { name: "A".to_owned(), email: "a@example.com".to_owned() },
            subject: format!("change {number}"),
            committed_at: Timestamp::UNIX_EPOCH,
            changed_paths: ChangedPaths::default(),
            pipeline: PipelineSource::File { text: text.to_owned() },
            arrival: Arrival::Pushed,
            skipped_before: 0,
        }
    }

    // ---- processes ----

    async fn start(&mut self, name: &str) {
        let life = self.lives.entry(name.to_owned()).or_default();
        *life += 1;
        let life = *life;
        self.truth.note(format_args!("starts  {name} life {life}"));
        let declares_topology = name.starts_with("dispatcher");
        let broker = self.weather.connect(Role { name: name.to_owned(), declares_topology });
        let (drain, now) = (CancellationToken::new(), CancellationToken::new());
        let task = if declares_topology {
            let Ok(ledger) = store::Ledger::open(&self.url(), &self.folder).await else {
                self.truth.get().accuse(format!("{name} could not open the ledger"));
                return;
            };
            let settings = dispatcher::Settings { name: name.to_owned(), ..dispatcher::Settings::default() };
            let (stop, truth, name) = (drain.clone(), self.truth.clone(), name.to_owned());
            tokio::spawn(async move {
                let ended = dispatcher::run(settings, broker, ledger, stop).await;
                let mut truth = truth.get();
                truth.note(format_args!(
                    "ends    {name} {}",
                    ended.err().map(|why| why.to_string()).unwrap_or_default()
                ));
                truth.deaths.try_send(name).ok();
            })
        } else if name == "eye" {
            let life = Incarnation(seams::chance::id());
            tokio::spawn(announcer::announce(self.repository.clone(), broker, life))
        } else {
            self.truth.get().new_life(name, life);
            let spool = self.spools.entry(name.to_owned()).or_default().clone();
            let owed = spool.owed(&self.truth);
            let hands = Simulated { seed: self.seed, runner: name.to_owned(), life, spool, truth: self.truth.clone() };
            let mut settings = runner::Settings::new(self.folder.clone(), PathBuf::new());
            settings.slots = 1 + u16::from(self.seed.is_multiple_of(3));
            settings.drain_limit = Duration::from_secs(8);
            let birth = Birth { folder: messages::MessageId::of(&["folder", name]).0, number: life };
            let life = runner::Life { name: name.parse().expect("a name"), birth, owed };
            let stop = runner::Stop { drain: drain.clone(), now: now.clone() };
            let (truth, name) = (self.truth.clone(), name.to_owned());
            tokio::spawn(async move {
                let ended = runner::run_with(settings, life, std::sync::Arc::new(hands), broker.clone(), stop).await;
                broker.close().await;
                let mut truth = truth.get();
                truth.note(format_args!(
                    "ends    {name} {}",
                    ended.err().map(|why| why.to_string()).unwrap_or_default()
                ));
                truth.deaths.try_send(name).ok();
            })
        };
        self.alive.insert(name.to_owned(), Process { task: task.abort_handle(), drain, now });
    }

    /// A process is gone; somebody starts it again.
    fn die(&mut self, name: &str) {
        let names: Vec<String> = if name == "dispatcher" {
            self.count("crash at a commit");
            self.alive.keys().filter(|name| name.starts_with("dispatcher")).cloned().collect()
        } else {
            vec![name.to_owned()]
        };
        for name in names {
            let Some(process) = self.alive.remove(&name) else { continue };
            self.weather.kill(&name);
            process.task.abort();
            self.truth.note(format_args!("gone    {name}"));
            if name.starts_with("runner") {
                self.truth.get().new_life(&name, 0);
                if self.dice.percent(5) {
                    self.count("disk lost");
                    self.truth.note(format_args!("wiped   the disk of {name}"));
                    if let Some(spool) = self.spools.get(&name) {
                        spool.wipe();
                    }
                }
            }
            let after =
                if self.dice.percent(70) { self.dice.millis(5, 3_000) } else { self.dice.millis(3_000, 25_000) };
            self.plan(after, Deed::Restart(name));
        }
    }

    fn any(&mut self) -> Option<String> {
        let names: Vec<&str> = self.alive.keys().map(String::as_str).collect();
        (!names.is_empty()).then(|| self.dice.pick(&names).to_owned())
    }

    fn any_runner(&mut self) -> Option<String> {
        let names: Vec<&str> =
            self.alive.keys().map(String::as_str).filter(|name| name.starts_with("runner")).collect();
        (!names.is_empty()).then(|| self.dice.pick(&names).to_owned())
    }

    // ---- the end ----

    /// From here on nothing fails any more.
    async fn fine(&mut self) {
        self.truth.note(format_args!("fine weather from now on"));
        let audit = self.truth.clone();
        seams::crash::arm(Some(Box::new(move |point| {
            if point == seams::crash::Point::AfterCommit {
                audit.get().audit();
            }
            false
        })));
        self.truth.get().fuse = None;
        self.weather.clear();
        for name in self.alive.keys().filter(|name| name.starts_with("runner")).cloned().collect::<Vec<_>>() {
            self.truth.get().hold(&name, false);
        }
        let left = std::mem::take(&mut self.agenda);
        for (_, deed) in left {
            if matches!(deed, Deed::Push(_)) {
                self.act(deed).await;
            }
        }
    }

    async fn settle(&mut self, names: &[String]) {
        let until = Instant::now() + LIVENESS;
        let mut quiet = 0;
        while quiet < 3 {
            for name in names {
                let ended = self.alive.get(name).is_none_or(|process| process.task.is_finished());
                if ended {
                    self.weather.kill(name);
                    self.start(name).await;
                }
            }
            sleep(Duration::from_secs(2)).await;
            let done = self.truth.get().look() && self.repository.is_recorded();
            let spools = self.spools.values().all(Spool::is_empty);
            let census = self.weather.census();
            let full: Vec<_> = census
                .iter()
                .filter(|(name, ready, held)| !name.starts_with("thump.control") && *ready + *held > 0)
                .collect();
            let over = done && spools && full.is_empty();
            quiet = if over { quiet + 1 } else { 0 };
            if Instant::now() > until {
                let what = format!(
                    "not over {LIVENESS:?} after the last fault: jobs done {done}, spools empty {spools}, queues {full:?}"
                );
                self.truth.get().accuse(what);
                return;
            }
        }
    }

    fn finish(mut self) -> (Report, Truth) {
        let (jobs, attempts) = self.truth.get().judge();
        self.weather.witness(|_| false);
        for (name, process) in std::mem::take(&mut self.alive) {
            self.weather.kill(&name);
            process.task.abort();
        }
        let mut faults = self.weather.faults();
        for (fault, times) in &self.faults {
            *faults.entry(fault).or_default() += times;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        (Report { faults, jobs, attempts, seconds, ..Report::default() }, self.truth.clone())
    }
}
