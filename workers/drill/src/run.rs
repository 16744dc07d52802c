//! One chaos run: work comes in while faults happen; then everything is healed, and everything must end.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use proof::faults::{Planned, Reach, Wishes, plan};
use proof::recovery::{percentile, recovery};
use proof::{Evidence, Findings, Kind, Pushed, Truth, check};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::Left;
use crate::inject::Injector;
use crate::repository::BRANCH;
use crate::site::{Carrier, Settings, Site};
use crate::watch::{Book, look_on};
use crate::{wire, work};

/// Without a fault, and with work left, something must happen within this time. Four leases, and more.
const STUCK: Duration = Duration::from_secs(75);
const POLL: Duration = Duration::from_millis(250);
const REPORT: Duration = Duration::from_secs(30);
/// Most commits of one push.
const PUSH: usize = 12;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The roles.
    pub settings: Settings,
    /// What carries their messages.
    pub carrier: Carrier,
    /// The same seed plans the same faults and the same work.
    pub seed: u64,
    /// At least so many jobs.
    pub jobs: usize,
    /// How many faults.
    pub faults: usize,
    /// How many of them kill the broker.
    pub broker_kills: usize,
    /// How many of them stop it in order.
    pub broker_stops: usize,
    /// From the first fault to the last one.
    pub over: Duration,
    /// Told what happens, now and then.
    pub say: fn(&str),
}

/// One fault as it happened.
#[derive(Debug)]
pub struct Happened {
    /// As planned.
    pub planned: Planned,
    /// When it began and when its cure was over.
    pub from_to: (Duration, Duration),
    /// What came of it.
    pub note: Result<String, String>,
}

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Broken promises and counts.
    pub findings: Findings,
    /// The faults in order of their beginning.
    pub faults: Vec<Happened>,
    /// Commits that were pushed.
    pub commits: usize,
    /// From each kill of a runner to the next start of a job that it was at; shortest first.
    pub recovery: Vec<Duration>,
    /// The whole time, the broker's first boot not included.
    pub took: Duration,
    /// How long after the last cure the last verdict came.
    pub drained: Duration,
    /// Where the logs are, if a promise was broken.
    pub kept: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
///
/// The machinery itself fails: no broker, no disk. Broken promises are no error but findings.
pub async fn run(options: Options) -> Result<Outcome> {
    let site = Arc::new(Site::new(&options.settings, options.carrier.clone()).await?);
    let answer = go(&options, &site).await;
    let (mut outcome, broken) = match answer {
        Ok(outcome) => {
            let broken = !outcome.findings.kept();
            (Ok(outcome), broken)
        }
        Err(cause) => (Err(cause.context(format!("seed {}", options.seed))), true),
    };
    if broken && let Some(mut site) = Arc::into_inner(site) {
        let kept = site.keep().to_owned();
        match &mut outcome {
            Ok(outcome) => outcome.kept = Some(kept),
            Err(_) => outcome = outcome.with_context(|| format!("logs are in {}", kept.display())),
        }
    }
    outcome
}

async fn go(options: &Options, site: &Arc<Site>) -> Result<Outcome> {
    site.start().await?;
    if let Some(url) = site.url() {
        wire::tap(url).await?;
    }
    let book = Arc::new(Book::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(look_on(Arc::clone(site), Arc::clone(&book)));

    let begun = Instant::now();
    let (pushed, faults) = tokio::join!(push_all(options, site, begun), inject_all(options, site, &book, begun));
    let (pushed, faults) = (pushed?, faults?);
    for worker in site.workers() {
        worker.heal().await;
    }
    let healed = Instant::now();
    (options.say)(&format!("{:>6.0?} all faults are over", begun.elapsed()));
    let drained = drain(options, site, &pushed, &book, begun).await?;

    // Whatever was ever said is said again, as late as can be: nothing may change.
    if let Some(url) = site.url() {
        if let Err(cause) = wire::send_again(url, 100).await {
            book.add(Kind::Stuck, format!("the broker refuses the last copies: {cause}"));
        }
        wire::empty(url, &book).await;
    }
    let builds = site.recorded().await?;
    book.saw(&builds);
    tasks.shutdown().await;
    end(site, &book).await;

    let truth = Truth::read(&std::fs::read_to_string(site.path("truth")).unwrap_or_default());
    let recovery = recovery(&book.kills(), &truth, &builds);
    let (found, seen) = book.close();
    let mut findings = check(Evidence { pushed: &pushed, truth: &truth, builds: &builds, seen: &seen });
    findings.broken.extend(found);
    Ok(Outcome {
        seed: options.seed,
        findings,
        faults,
        commits: pushed.len(),
        recovery,
        took: begun.elapsed(),
        drained: drained.duration_since(healed),
        kept: None,
    })
}

/// Pushes over nine tenths of the time of the faults.
async fn push_all(options: &Options, site: &Site, begun: Instant) -> Result<Vec<Pushed>> {
    let mut random = SmallRng::seed_from_u64(options.seed ^ 0x7075_7368);
    let commits = options.jobs.div_ceil(work::JOBS);
    let over = options.over.mul_f64(0.9);
    let mut pushed: Vec<Pushed> = Vec::with_capacity(commits);
    while pushed.len() < commits {
        let count = random.random_range(1..=PUSH).min(commits - pushed.len());
        let (texts, expected): (Vec<_>, Vec<_>) =
            (0..count).map(|_| work::pipeline(&mut random, site.folder())).unzip();
        let ids = site.repository.push(&texts)?;
        pushed.extend(ids.into_iter().zip(expected).map(|(commit, jobs)| Pushed {
            ref_name: BRANCH.to_owned(),
            commit,
            jobs,
        }));
        let share = f64::from(u32::try_from(pushed.len())?) / f64::from(u32::try_from(commits)?);
        tokio::time::sleep_until(begun + over.mul_f64(share)).await;
    }
    Ok(pushed)
}

async fn inject_all(options: &Options, site: &Arc<Site>, book: &Arc<Book>, begun: Instant) -> Result<Vec<Happened>> {
    let wishes = Wishes {
        faults: options.faults,
        over: options.over,
        runners: options.settings.runners,
        dispatchers: options.settings.dispatchers,
        broker_kills: options.broker_kills,
        broker_stops: options.broker_stops,
        reach: match &options.carrier {
            Carrier::Embedded { .. } => Reach::Process,
            Carrier::Rabbit { power: None, .. } => Reach::Lines,
            Carrier::Rabbit { power: Some(_), .. } => Reach::Broker,
        },
    };
    let injector = Arc::new(Injector::new(Arc::clone(site), Arc::clone(book)));
    let mut running = JoinSet::new();
    for planned in plan(options.seed, &wishes) {
        tokio::time::sleep_until(begun + planned.at).await;
        let injector = Arc::clone(&injector);
        running.spawn(async move {
            let from = begun.elapsed();
            let note = injector.inject(planned.fault).await.map_err(|cause| format!("{cause:#}"));
            Happened { planned, from_to: (from, begun.elapsed()), note }
        });
    }
    let mut faults = Vec::with_capacity(options.faults);
    while let Some(happened) = running.join_next().await {
        faults.push(happened.context("a fault's task")?);
    }
    faults.sort_by_key(|happened| happened.from_to.0);
    Ok(faults)
}

/// Waits until everything has a verdict, or nothing happens any more. Returns when that was.
async fn drain(options: &Options, site: &Site, pushed: &[Pushed], book: &Book, begun: Instant) -> Result<Instant> {
    let mut last = (Left::default(), 0);
    let mut moved = Instant::now();
    let mut told = Instant::now();
    loop {
        let left = site.api.queues().await;
        let lines = std::fs::metadata(site.path("truth")).map_or(0, |file| file.len());
        if let Ok(left) = left {
            if left.jobs == 0 {
                let builds = site.api.builds().await.unwrap_or_default();
                book.saw(&builds);
                if builds.len() >= pushed.len() && builds.iter().all(|build| build.state == "done") {
                    return Ok(Instant::now());
                }
            }
            if last != (left, lines) {
                last = (left, lines);
                moved = Instant::now();
            }
        }
        if moved.elapsed() > STUCK {
            (options.say)(&format!("{:>6.0?} nothing happens any more", begun.elapsed()));
            return Ok(Instant::now());
        }
        if told.elapsed() > REPORT {
            told = Instant::now();
            (options.say)(&format!("{:>6.0?} {} jobs are left", begun.elapsed(), last.0.jobs));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Stops everything, and looks for what is left.
async fn end(site: &Site, book: &Book) {
    let (bad, left) = site.stop().await;
    for what in bad {
        book.add(Kind::Exit, what);
    }
    for process in left {
        book.add(Kind::Stray, format!("{} is left at the end: {}", process.pid, process.command()));
    }
    for marked in crate::processes::marked_below(site.folder()) {
        let what = format!("{} of job {} is left at the end: {}", marked.process.pid, marked.job, marked.command);
        book.add(Kind::Stray, what);
    }
    for worker in site.workers() {
        for (path, text) in worker.said() {
            for line in text.lines().filter(|line| line.contains("panicked at")) {
                book.add(Kind::Panic, format!("{}: {line}", path.display()));
            }
        }
    }
}

impl Outcome {
    /// Every fault with its times, for the report of a run that failed.
    pub fn story(&self) -> String {
        let line = |happened: &Happened| {
            let (from, to) = happened.from_to;
            let note = match &happened.note {
                Ok(note) => note.clone(),
                Err(cause) => format!("NOT DONE: {cause}"),
            };
            format!("{:>9.3} to {:>9.3} s  {}; {note}\n", from.as_secs_f64(), to.as_secs_f64(), happened.planned.fault)
        };
        self.faults.iter().map(line).collect()
    }

    /// So many hundredths of the jobs of killed runners went on within this time.
    pub fn recovered_within(&self, hundredths: usize) -> Option<Duration> {
        percentile(&self.recovery, hundredths)
    }

    /// How many faults could not be done.
    pub fn not_done(&self) -> usize {
        self.faults.iter().filter(|happened| happened.note.is_err()).count()
    }

    /// How many faults of a kind were done.
    pub fn done(&self, which: impl Fn(&proof::faults::Fault) -> bool) -> usize {
        self.faults.iter().filter(|happened| happened.note.is_ok() && which(&happened.planned.fault)).count()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        use proof::faults::Fault;
        writeln!(text, "{:<34}{:>6}", "seed", self.seed)?;
        writeln!(text, "{:<34}{:>6}", "commits", self.commits)?;
        writeln!(text, "{:<34}{:>6}", "faults", self.done(|_| true))?;
        writeln!(text, "{:<34}{:>6}", "faults that could not be done", self.not_done())?;
        writeln!(text, "{:<34}{:>6}", "broker kills", self.done(|fault| matches!(fault, Fault::BrokerKill(_))))?;
        writeln!(text, "{:<34}{:>6}", "roles killed", self.done(|fault| matches!(fault, Fault::Kill(..))))?;
        writeln!(text, "{}", self.findings)?;
        if let (Some(half), Some(most)) = (percentile(&self.recovery, 50), percentile(&self.recovery, 99)) {
            let (count, label) = (self.recovery.len(), "kill of a runner to next start");
            writeln!(text, "{label:<34}{count:>6}  p50 {half:.2?}, p99 {most:.2?}")?;
        }
        write!(text, "{:.0?} in all, last verdict {:.1?} after the last cure", self.took, self.drained)?;
        if let Some(kept) = &self.kept {
            write!(text, "\nseed {}; logs are in {}; faults:\n{}", self.seed, kept.display(), self.story())?;
        }
        Ok(())
    }
}
