//! Looks on while faults happen: who ended unasked, which processes outlive their jobs, which verdicts were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proof::recovery::Kill;
use proof::{Build, Finding, Kind, Truth};

use crate::processes::{Process, marked_below};
use crate::site::Site;

const EXITS: Duration = Duration::from_millis(200);
const STRAYS: Duration = Duration::from_secs(1);
const VERDICTS: Duration = Duration::from_secs(2);
/// How long a process may outlive its job, in hundredths of a second.
const OUTLIVES: u64 = 200;

/// What was found on the way.
#[derive(Debug, Default)]
pub struct Book {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    findings: Vec<Finding>,
    kills: Vec<Kill>,
    seen: BTreeMap<String, BTreeSet<String>>,
}

impl Book {
    /// Adds a broken promise.
    pub fn add(&self, kind: Kind, what: impl Into<String>) {
        self.notes().findings.push(Finding { kind, what: what.into() });
    }

    /// Notes the verdicts of these builds.
    pub fn saw(&self, builds: &[Build]) {
        let mut notes = self.notes();
        for job in builds.iter().flat_map(|build| &build.jobs) {
            if let Some(verdict) = &job.verdict {
                notes.seen.entry(job.id.clone()).or_default().insert(verdict.clone());
            }
        }
    }

    /// A runner was killed; see [`Kill`].
    pub(crate) fn killed(&self, runner: Option<String>, at: u64) {
        self.notes().kills.push(Kill { runner, at });
    }

    /// Every kill of a runner.
    pub fn kills(&self) -> Vec<Kill> {
        self.notes().kills.clone()
    }

    /// Everything, and every verdict that was ever seen of a job.
    pub fn close(&self) -> (Vec<Finding>, BTreeMap<String, BTreeSet<String>>) {
        let notes = self.notes();
        (notes.findings.clone(), notes.seen.clone())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks on until it is dropped or aborted.
pub(crate) async fn look_on(site: Arc<Site>, book: Arc<Book>) {
    tokio::join!(exits(&site, &book), strays(&site, &book), verdicts(&site, &book));
}

/// A role that nobody hurts does not end; one that did is started again, as an operator's system would.
async fn exits(site: &Site, book: &Book) {
    loop {
        for worker in site.workers() {
            let Some(mut life) = worker.calm_life() else { continue };
            if let Some(status) = life.ended() {
                let said = life.output();
                let last = said.lines().last().unwrap_or_default();
                book.add(Kind::Exit, format!("{} ended by itself with {status}: {last}", worker.role));
                if let Err(cause) = worker.start(&mut life) {
                    book.add(Kind::Exit, format!("{} cannot be started again: {cause}", worker.role));
                }
            }
        }
        tokio::time::sleep(EXITS).await;
    }
}

/// A process whose job wrote its last line more than two seconds ago, seen twice.
async fn strays(site: &Site, book: &Book) {
    let mut before = BTreeSet::new();
    let mut told = BTreeSet::new();
    loop {
        let now = crate::uptime();
        let truth = Truth::read(&std::fs::read_to_string(site.path("truth")).unwrap_or_default());
        let ran = truth.by_job();
        let mut outlived: BTreeSet<Process> = BTreeSet::new();
        for marked in marked_below(site.folder()) {
            let attempt = ran.get(marked.job.as_str()).and_then(|attempts| attempts.get(&marked.attempt));
            let Some(end) = attempt.and_then(|attempt| attempt.end) else { continue };
            if now.saturating_sub(end) < OUTLIVES {
                continue;
            }
            if before.contains(&marked.process) && told.insert(marked.process) {
                let (job, attempt, command) = (&marked.job, marked.attempt, &marked.command);
                let pid = marked.process.pid;
                book.add(Kind::Stray, format!("{pid} of job {job}, attempt {attempt}, which has ended: {command}"));
            }
            outlived.insert(marked.process);
        }
        before = outlived;
        tokio::time::sleep(STRAYS).await;
    }
}

async fn verdicts(site: &Site, book: &Book) {
    loop {
        if let Ok(builds) = site.api.newest().await {
            book.saw(&builds);
        }
        tokio::time::sleep(VERDICTS).await;
    }
}
