//! What really happened, kept apart from what the ledger says, and the rules that both are held against.
//!
//! Hands tell it of every run, the weather of every message; after each commit and before each ack it looks
//! into the ledger over a connection of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::Seen;
use futures::FutureExt;
use messages::{Beat, CommitSeen, Finished, HandBack, Job, JobId, Message, Outcome};
use runner::StopWhy;
use sqlx::SqliteConnection;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::dice::Hash;

/// A runner that was away for less than this keeps what it has: a first reconnect is faster.
const BLIP: Duration = Duration::from_millis(400);
/// So long after trouble a lease may still end because of it: its length, a tick, and a beat on a slow way.
const AFTERMATH: Duration = Duration::from_secs(24);

/// Attempt of a job.
pub type Key = (JobId, u32);

#[derive(Clone)]
pub struct Truth(Arc<Mutex<Inside>>);

pub struct Inside {
    begun: Instant,
    pub ledger: SqliteConnection,
    pub hash: Hash,
    pub lines: u64,
    /// The trace is told as it comes.
    aloud: bool,
    pub violations: Vec<String>,
    pub runs: BTreeMap<Key, Run>,
    reported: BTreeSet<Key>,
    published: BTreeSet<JobId>,
    /// A beat that the dispatcher has read lists it as running.
    listed: BTreeSet<Key>,
    pub cancelled: BTreeSet<JobId>,
    pub announced: Vec<CommitSeen>,
    /// Verdicts that were seen.
    done: BTreeMap<String, String>,
    ended: BTreeSet<(String, i64)>,
    health: BTreeMap<String, Health>,
    /// The reply queue was tampered with: beats may be gone.
    tampered: Option<Instant>,
    /// Who dies at his n-th deed from now on.
    pub fuse: Option<(String, u64)>,
    /// Somebody writes into the ledger who is no dispatcher: nobody dies of that.
    pub office: bool,
    pub deaths: mpsc::Sender<String>,
}

/// One execution.
#[derive(Debug, Clone)]
pub struct Run {
    pub runner: String,
    pub life: u64,
    pub ended: Option<(Outcome, Option<StopWhy>)>,
    pub killed: bool,
}

/// Of one runner.
#[derive(Debug, Default)]
struct Health {
    life: u64,
    down_since: Option<Instant>,
    /// The end of the last trouble worth the name.
    trouble: Option<Instant>,
    held: bool,
}

impl Truth {
    pub fn new(ledger: SqliteConnection, aloud: bool, deaths: mpsc::Sender<String>) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            begun: Instant::now(),
            ledger,
            hash: Hash::default(),
            lines: 0,
            aloud,
            violations: Vec::new(),
            runs: BTreeMap::new(),
            reported: BTreeSet::new(),
            published: BTreeSet::new(),
            listed: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            announced: Vec::new(),
            done: BTreeMap::new(),
            ended: BTreeSet::new(),
            health: BTreeMap::new(),
            tampered: None,
            fuse: None,
            office: false,
            deaths,
        })))
    }

    pub fn get(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, what: Arguments<'_>) {
        self.get().note(what);
    }

    /// Gives the connection back.
    pub fn into_inside(self) -> Option<Inside> {
        Arc::into_inner(self.0).map(|inside| inside.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inside {
    pub fn note(&mut self, what: Arguments<'_>) {
        let line = format!("{:9.3} {what}", self.begun.elapsed().as_secs_f64());
        self.hash.add(line.as_bytes());
        self.lines += 1;
        if self.aloud {
            println!("{line}");
        }
    }

    pub fn accuse(&mut self, what: String) {
        self.note(format_args!("VIOLATION {what}"));
        self.violations.push(what);
    }

    // ---- what the hands tell ----

    pub fn begin(&mut self, key: Key, runner: &str, life: u64, exclusive: bool) {
        self.note(format_args!("run     {runner} begins {} attempt {}", short(key.0), key.1));
        if let Some(before) = self.runs.get(&key) {
            let before = format!("{before:?}");
            self.accuse(format!("attempt {} of {} was run twice, first {before}", key.1, short(key.0)));
        }
        let runs =
            |(id, attempt): &Key, run: &Run| *id == key.0 && *attempt != key.1 && run.ended.is_none() && !run.killed;
        if exclusive && self.runs.iter().any(|(key, run)| runs(key, run)) {
            self.accuse(format!("exclusive {} attempt {} overlaps an earlier one", short(key.0), key.1));
        }
        let run = Run { runner: runner.to_owned(), life, ended: None, killed: false };
        self.runs.insert(key, run);
    }

    pub fn end(&mut self, key: Key, outcome: &Outcome, stopped: Option<StopWhy>) {
        self.note(format_args!("run     {} attempt {} ends {} {stopped:?}", short(key.0), key.1, word(outcome)));
        if let Some(run) = self.runs.get_mut(&key) {
            run.ended = Some((outcome.clone(), stopped));
        }
    }

    pub fn killed(&mut self, key: Key) {
        if let Some(run) = self.runs.get_mut(&key).filter(|run| run.ended.is_none()) {
            run.killed = true;
        }
    }

    /// A runner forgets what it kept of an attempt.
    pub fn forgotten(&mut self, key: Key) {
        let state = self.attempt_state(key);
        self.note(format_args!("spool   {} attempt {} forgotten ({state:?})", short(key.0), key.1));
        if state.as_deref() == Some("running") {
            self.accuse(format!("the spool of {} attempt {} went before it was recorded", short(key.0), key.1));
        }
    }

    // ---- what the world tells ----

    pub fn new_life(&mut self, runner: &str, life: u64) {
        let health = self.health.entry(runner.to_owned()).or_default();
        health.life = life;
        health.trouble = Some(Instant::now());
    }

    pub fn hold(&mut self, runner: &str, held: bool) {
        let health = self.health.entry(runner.to_owned()).or_default();
        health.held = held;
        health.trouble = Some(Instant::now());
    }

    pub fn tamper(&mut self) {
        self.tampered = Some(Instant::now());
    }

    // ---- what the weather tells ----

    /// True: whoever did this dies.
    pub fn see(&mut self, seen: &Seen<'_>) -> bool {
        let by = match seen {
            Seen::Queued { by, key, envelope, .. } => {
                self.note(format_args!("queued  {by} {} {key} {}", envelope.kind, tag(envelope)));
                self.queued(envelope);
                by
            }
            Seen::Refused { by, key, why } => {
                self.note(format_args!("refused {by} {key} {why}"));
                by
            }
            Seen::Delivered { to, queue, envelope, redelivered } => {
                let again = if *redelivered { " again" } else { "" };
                self.note(format_args!("handed  {to} {queue} {} {}{again}", envelope.kind, tag(envelope)));
                to
            }
            Seen::Settled { by, queue, envelope, how } => {
                self.note(format_args!("{how:7} {by} {queue} {} {}", envelope.kind, tag(envelope)));
                if *how == "ack" {
                    self.acked(by, queue, envelope);
                }
                by
            }
            Seen::Answered { by, envelope } => {
                self.note(format_args!("answer  {by} {}", String::from_utf8_lossy(&envelope.body)));
                by
            }
            Seen::Link { of, what } => {
                self.note(format_args!("link    {of} {what}"));
                self.link(of, *what == "up");
                return false;
            }
        };
        let Some((name, left)) = self.fuse.as_mut().filter(|(name, _)| name == by) else { return false };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return false;
        }
        let name = name.clone();
        self.fuse = None;
        self.note(format_args!("dies    {name} in the act"));
        self.deaths.try_send(name).ok();
        true
    }

    fn link(&mut self, of: &str, up: bool) {
        let Some(health) = self.health.get_mut(of) else { return };
        let now = Instant::now();
        if !up {
            health.down_since.get_or_insert(now);
        } else if let Some(since) = health.down_since.take()
            && now - since >= BLIP
        {
            health.trouble = Some(now);
        }
    }

    fn queued(&mut self, envelope: &messages::Envelope) {
        match envelope.kind.as_str() {
            Finished::KIND => {
                if let Ok(report) = envelope.open::<Finished>() {
                    self.reported.insert((report.job, report.attempt.0));
                }
            }
            HandBack::KIND => {
                if let Ok(back) = envelope.open::<HandBack>() {
                    self.reported.insert((back.job, back.attempt.0));
                }
            }
            Job::KIND => {
                if let Ok(job) = envelope.open::<Job>() {
                    self.published.insert(job.id);
                }
            }
            _ => {}
        }
    }

    /// Nothing is acked before it is durable elsewhere.
    fn acked(&mut self, by: &str, queue: &str, envelope: &messages::Envelope) {
        match envelope.kind.as_str() {
            Job::KIND if queue.starts_with("thump.jobs") => {
                let Ok(job) = envelope.open::<Job>() else { return };
                // What a former life did not report is its spool's or its lease's.
                let life = self.health.get(by).map_or(0, |health| health.life);
                let of = |((id, _), run): &(&Key, &Run)| *id == job.id && run.runner == by && run.life == life;
                let Some((key, run)) = self.runs.iter().rfind(of) else { return };
                let (key, ended) = (*key, run.ended.clone());
                let owed = !matches!(ended, Some((_, Some(StopWhy::Void))));
                if owed && !self.reported.contains(&key) && self.attempt_state(key).as_deref() == Some("running") {
                    self.accuse(format!("{by} acked {} before attempt {} was reported", short(key.0), key.1));
                }
            }
            Beat::KIND => {
                if let Ok(beat) = envelope.open::<Beat>() {
                    self.listed.extend(beat.running.iter().map(|one| (one.job, one.attempt.0)));
                }
            }
            CommitSeen::KIND => {
                let id = envelope.id.to_string();
                let known = self.count("SELECT count(*) FROM builds WHERE intake_key LIKE $1 || '%'", &id);
                if known == 0 {
                    self.accuse(format!("{by} acked a commit before its build was recorded"));
                }
            }
            Finished::KIND => {
                let Ok(report) = envelope.open::<Finished>() else { return };
                let key = (report.job, report.attempt.0);
                let is_timed_out = matches!(report.outcome, Outcome::TimedOut { .. });
                let forged = is_timed_out && report.steps.is_empty() && report.log_length == 7;
                if !forged && self.attempt_state(key).as_deref() == Some("running") {
                    self.accuse(format!("{by} acked the result of {} before it was recorded", short(key.0)));
                }
            }
            _ => {}
        }
    }

    // ---- what the ledger says ----

    fn attempt_state(&mut self, key: Key) -> Option<String> {
        let query = sqlx::query_scalar("SELECT state FROM attempts WHERE job = $1 AND number = $2");
        let query = query.bind(key.0.to_string()).bind(i64::from(key.1)).fetch_optional(&mut self.ledger);
        now(query).ok().flatten()
    }

    fn count(&mut self, statement: &'static str, of: &str) -> i64 {
        now(sqlx::query_scalar(statement).bind(of.to_owned()).fetch_one(&mut self.ledger)).unwrap_or(-1)
    }

    /// After every commit: what is new in the ledger, and whether it may be so.
    pub fn audit(&mut self) {
        let rows: Vec<(String, i64, String, String, String)> = now(sqlx::query_as(
            "SELECT job, number, state, detail, runner FROM attempts WHERE state <> 'running' ORDER BY job, number",
        )
        .fetch_all(&mut self.ledger))
        .unwrap_or_default();
        for (job, number, state, detail, runner) in rows {
            if !self.ended.insert((job.clone(), number)) {
                continue;
            }
            self.note(format_args!("ledger  {} attempt {number} {state}: {detail}", &job[..job.len().min(18)]));
            if state == "lost" && !detail.contains("does not list it") {
                self.judge_loss(&job, number, &detail, &runner);
            }
        }
        let marked: Vec<String> =
            now(sqlx::query_scalar("SELECT job FROM outbox WHERE published_at IS NOT NULL ORDER BY job")
                .fetch_all(&mut self.ledger))
            .unwrap_or_default();
        for job in marked {
            let Ok(id) = job.parse::<JobId>() else { continue };
            if !self.published.contains(&id) {
                self.published.insert(id);
                self.accuse(format!("{} is marked as published and never was", short(id)));
            }
        }
    }

    /// A runner that is there keeps what it has.
    fn judge_loss(&mut self, job: &str, number: i64, detail: &str, runner: &str) {
        let now = Instant::now();
        let lately = |when: Option<Instant>| when.is_some_and(|when| now - when < AFTERMATH);
        if lately(self.tampered) {
            return;
        }
        let Some(health) = self.health.get(runner) else { return };
        let down = health.down_since.is_some_and(|since| now - since >= BLIP);
        let run = job.parse().ok().and_then(|job| self.runs.get(&(job, u32::try_from(number).unwrap_or(0))));
        let other_life = run.is_some_and(|run| run.killed || run.life != health.life);
        if !down && !health.held && !lately(health.trouble) && !other_life {
            self.accuse(format!("attempt {number} of {job} was taken from {runner}, which was there: {detail}"));
        }
    }

    /// Verdicts never change. Returns whether every job of every announced commit has one.
    pub fn look(&mut self) -> bool {
        let rows: Vec<(String, String, Option<String>)> =
            now(sqlx::query_as("SELECT id, state, verdict FROM jobs ORDER BY id").fetch_all(&mut self.ledger))
                .unwrap_or_default();
        let mut all = true;
        for (job, state, verdict) in rows {
            all &= state == "done";
            let before = self.done.get(&job).cloned();
            if let Some(before) = before
                && Some(&before) != verdict.as_ref()
            {
                self.accuse(format!("the verdict of {job} was {before} and is {verdict:?}"));
            }
            if let Some(verdict) = verdict {
                self.done.insert(job, verdict);
            }
        }
        let builds: i64 =
            now(sqlx::query_scalar("SELECT count(*) FROM builds").fetch_one(&mut self.ledger)).unwrap_or(0);
        all && builds >= i64::try_from(self.announced.len()).unwrap_or(i64::MAX)
    }

    /// Jobs without a verdict.
    pub fn open_jobs(&mut self) -> Vec<JobId> {
        let rows: Vec<String> = now(
            sqlx::query_scalar("SELECT id FROM jobs WHERE state <> 'done' ORDER BY id").fetch_all(&mut self.ledger)
        )
        .unwrap_or_default();
        rows.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// At the end.
    pub fn judge(&mut self) -> (u64, u64) {
        for seen in self.announced.clone() {
            let builds = self.count("SELECT count(*) FROM builds WHERE commit_id = $1", seen.commit.as_str());
            if builds != 1 {
                self.accuse(format!("commit {} has {builds} builds", seen.commit.short()));
            }
        }
        type Job = (String, String, Option<String>, i64, i64, i64, i64, Option<String>);
        let jobs: Vec<Job> = now(sqlx::query_as(
            "SELECT id, state, verdict, attempt, lost, errored, rounds, reason_kind FROM jobs ORDER BY id",
        )
        .fetch_all(&mut self.ledger))
        .unwrap_or_default();
        let mut attempts = 0;
        let mut known = BTreeSet::new();
        for (job, state, verdict, attempt, lost, errored, rounds, reason) in &jobs {
            let Ok(id) = job.parse::<JobId>() else { continue };
            let rows: Vec<(i64, String, String)> =
                now(sqlx::query_as("SELECT number, state, detail FROM attempts WHERE job = $1 ORDER BY number")
                    .bind(job.clone())
                    .fetch_all(&mut self.ledger))
                .unwrap_or_default();
            attempts += rows.len() as u64;
            known.extend(rows.iter().map(|(number, _, _)| (id, u32::try_from(*number).unwrap_or(0))));
            if state != "done" {
                self.accuse(format!("{job} is {state} at the end"));
            }
            let gone: Vec<_> = rows.iter().filter(|(_, state, _)| state == "lost").collect();
            let begun = |(number, _, detail): &&&(i64, String, String)| {
                let key = (id, u32::try_from(*number).unwrap_or(0));
                self.listed.contains(&key) && !detail.contains("does not list it")
            };
            // What never began, as far as anybody heard, is not the job's fault.
            let least = gone.iter().filter(begun).count() as i64;
            let cut_off = rows.iter().filter(|(_, _, detail)| detail == crate::hands::CUT_OFF).count() as i64;
            let ended = gone.len() as i64 + errored + cut_off;
            if *lost < least || *lost > gone.len() as i64 || *rounds != ended {
                self.accuse(format!(
                    "{job} counts {lost} lost, {errored} errored, {rounds} rounds; its attempts are {rows:?}"
                ));
            }
            self.judge_verdict(id, verdict.as_deref(), *attempt, *lost, *errored, *rounds, reason.as_deref());
        }
        let unknown: Vec<Key> = self.runs.keys().filter(|key| !known.contains(key)).copied().collect();
        for (job, attempt) in unknown {
            self.accuse(format!("attempt {attempt} of {} was run and is not in the ledger", short(job)));
        }
        (jobs.len() as u64, attempts)
    }

    #[expect(clippy::too_many_arguments, reason = "a row of the ledger")]
    fn judge_verdict(
        &mut self,
        job: JobId,
        verdict: Option<&str>,
        attempt: i64,
        lost: i64,
        errored: i64,
        rounds: i64,
        reason: Option<&str>,
    ) {
        let run = self.runs.get(&(job, u32::try_from(attempt).unwrap_or(0)));
        let ended = run.and_then(|run| run.ended.as_ref()).map(|(outcome, _)| word(outcome));
        let fits = match (verdict, reason) {
            (Some("skipped"), _) => attempt == 0,
            (Some("cancelled"), _) => self.cancelled.contains(&job),
            (Some("errored"), Some("runner_lost")) => lost >= 3,
            (Some("errored"), Some("too_many_attempts")) => rounds >= 10,
            (Some("errored"), _) => errored >= 3 && ended == Some("errored"),
            (Some(verdict), _) => ended == Some(verdict),
            (None, _) => true,
        };
        if !fits {
            self.accuse(format!("{} is {verdict:?} ({reason:?}), but attempt {attempt} was {run:?}", short(job)));
        }
    }
}

/// In the simulation every call of the ledger ends within one poll.
fn now<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    store::simulated::at_once(query).now_or_never().unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

pub fn short(job: JobId) -> String {
    job.to_string()[..18].to_owned()
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::TimedOut { .. } => "timed_out",
        Outcome::Cancelled => "cancelled",
        Outcome::Errored { .. } => "errored",
    }
}

fn tag(envelope: &messages::Envelope) -> String {
    envelope.id.to_string()[..8].to_owned()
}
