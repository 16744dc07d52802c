//! The pages. Each is made whole on the server and works without script; `app.js` only keeps it fresh.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use messages::Verdict;
use store::{AttemptView, BuildFilter, BuildView, JobView, QueueView, RunnerState, RunnerView, Skipped};

use crate::Desk;
use crate::api::{build_id, job_id, no_build, no_job};
use crate::error::Problem;
use crate::shown::{shown, shown_log};
use crate::test_results::Shown;
use crate::time::duration;

/// How many builds the overview lists.
const BUILDS_SHOWN: u32 = 60;
/// How much of a log's end stands in the page; the rest is one link away.
const LOG_SHOWN: u64 = 256 * 1024;

/// What every page has around it.
pub(crate) struct Frame {
    /// Say why nothing moves, while something is wrong.
    pub(crate) faults: Vec<String>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    builds: Vec<BuildRow>,
}

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage {
    frame: Frame,
    build: BuildRow,
    author: String,
    url: String,
    jobs: Vec<JobRow>,
    tests: Shown,
    tests_at: String,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: JobRow,
    build: BuildRow,
    attempts: Vec<AttemptRow>,
    log: String,
    log_begins: u64,
    log_ends: u64,
    done: bool,
    tests: Shown,
    tests_at: String,
}

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    frame: Frame,
    queues: Vec<QueueRow>,
}

#[derive(Template)]
#[template(path = "runners.html")]
struct RunnersPage {
    frame: Frame,
    runners: Vec<RunnerRow>,
}

struct BuildRow {
    id: String,
    number: u64,
    repository: String,
    ref_name: String,
    short_commit: String,
    commit: String,
    subject: String,
    state: Badge,
    reason: Option<String>,
    skipped: u64,
    created_at: String,
    took: String,
}

struct JobRow {
    id: String,
    name: String,
    state: Badge,
    why: String,
    pool: String,
    runner: String,
    attempt: String,
    took: String,
    reason: Option<String>,
}

struct AttemptRow {
    number: u32,
    runner: String,
    state: Badge,
    detail: String,
    started_at: String,
    took: String,
}

struct QueueRow {
    pool: String,
    waiting: u64,
    queued: u64,
    running: u64,
    oldest: String,
}

struct RunnerRow {
    name: String,
    pool: String,
    state: Badge,
    /// Why it is quarantined.
    trouble: Option<String>,
    slots: u32,
    version: String,
    attempts: Vec<HeldRow>,
    seen: String,
}

struct HeldRow {
    job: String,
    name: String,
    attempt: u32,
    since: String,
}

/// A state told by shape and word as well as by colour.
pub(crate) struct Badge {
    pub(crate) word: &'static str,
    pub(crate) shape: &'static str,
    pub(crate) class: &'static str,
}

pub(crate) async fn overview(State(desk): State<Desk>) -> Result<Response, Problem> {
    let builds = desk.ledger.builds(BuildFilter { limit: BUILDS_SHOWN, ..BuildFilter::default() }).await?;
    let now = Timestamp::now();
    let mut builds: Vec<BuildView> = builds;
    // What runs or waits is what people come for; the sort keeps the order inside each half.
    builds.sort_by_key(|build| build.verdict.is_some());
    let builds = builds.iter().map(|build| build_row(build, now)).collect();
    page(&Overview { frame: frame(&desk).await, builds })
}

pub(crate) async fn build(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Response, Problem> {
    let view = desk.ledger.build(build_id(&id)?).await?.ok_or_else(no_build)?;
    let now = Timestamp::now();
    page(&BuildPage {
        frame: frame(&desk).await,
        build: build_row(&view, now),
        author: shown(&view.author),
        url: shown(&view.url),
        jobs: view.jobs.iter().map(|job| job_row(job, now)).collect(),
        tests: Shown::of(&desk.ledger.build_tests(view.id).await?),
        tests_at: format!("/api/v1/builds/{}/tests", view.id),
    })
}

pub(crate) async fn job(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = job_id(&id)?;
    let view = desk.ledger.job(id).await?.ok_or_else(no_job)?;
    let build = desk.ledger.build(view.build).await?.ok_or_else(no_build)?;
    let attempts = desk.ledger.attempts(id).await?;
    let now = Timestamp::now();
    let (mut log, mut begins, mut ends) = (String::new(), 0, 0);
    if let Some(attempt) = view.attempt {
        let logs = desk.ledger.logs();
        ends = logs.state(id, attempt).await?.length;
        begins = ends.saturating_sub(LOG_SHOWN);
        let bytes = logs.read(id, attempt, begins, usize::try_from(ends - begins).unwrap_or(usize::MAX)).await?;
        log = shown_log(&bytes);
    }
    page(&JobPage {
        frame: frame(&desk).await,
        done: view.verdict.is_some(),
        job: job_row(&view, now),
        build: build_row(&build, now),
        attempts: attempts.iter().map(|attempt| attempt_row(attempt, now)).collect(),
        log,
        log_begins: begins,
        log_ends: ends,
        tests: Shown::of(desk.ledger.job_tests(view.id).await?.as_slice()),
        tests_at: format!("/api/v1/jobs/{}/tests", view.id),
    })
}

pub(crate) async fn queues(State(desk): State<Desk>) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let queues = desk.ledger.queues().await?;
    page(&QueuesPage { frame: frame(&desk).await, queues: queues.iter().map(|queue| queue_row(queue, now)).collect() })
}

pub(crate) async fn runners(State(desk): State<Desk>) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let runners = desk.ledger.runners().await?;
    page(&RunnersPage {
        frame: frame(&desk).await,
        runners: runners.iter().map(|runner| runner_row(runner, now)).collect(),
    })
}

pub(crate) fn page(template: &impl Template) -> Result<Response, Problem> {
    let html = template.render().map_err(|cause| Problem::of(StatusCode::INTERNAL_SERVER_ERROR, cause.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

pub(crate) async fn frame(desk: &Desk) -> Frame {
    Frame { faults: desk.health.at_a_glance().await.faults.iter().map(|fault| shown(fault)).collect() }
}

fn build_row(view: &BuildView, now: Timestamp) -> BuildRow {
    BuildRow {
        id: view.id.to_string(),
        number: view.number,
        repository: view.repository.to_string(),
        ref_name: shown(view.ref_name.short()),
        short_commit: view.commit.short().to_owned(),
        commit: view.commit.to_string(),
        subject: shown(&view.subject),
        state: badge(view.state, view.verdict, false),
        reason: view.reason.as_ref().map(|reason| shown(&reason.detail)),
        skipped: view.skipped_before,
        created_at: view.created_at.to_string(),
        took: took(view.started_at, view.finished_at, now),
    }
}

fn job_row(view: &JobView, now: Timestamp) -> JobRow {
    let why = match view.state {
        store::State::Waiting => format!("waits for {}", shown(&view.waiting_for.join(", "))),
        store::State::Queued => format!("waits for a free slot in pool {}", view.pool),
        _ => match &view.skipped {
            Some(Skipped::Filtered { detail }) => format!("filtered: {}", shown(detail)),
            Some(Skipped::Needs) => "a job that it needs did not pass".to_owned(),
            None if view.allow_failure && view.verdict.is_some_and(|verdict| !verdict.is_good()) => {
                "its failure is allowed".to_owned()
            }
            None if view.retry_of.is_some() => "run again".to_owned(),
            None => String::new(),
        },
    };
    JobRow {
        id: view.id.to_string(),
        name: shown(&view.name),
        state: badge(view.state, view.verdict, view.cancelling),
        why,
        pool: view.pool.to_string(),
        runner: view.runner.as_ref().map_or(String::new(), ToString::to_string),
        attempt: view.attempt.map_or(String::new(), |number| number.to_string()),
        took: took(view.started_at, view.finished_at, now),
        reason: view.reason.as_ref().map(|reason| shown(&reason.detail)),
    }
}

fn attempt_row(view: &AttemptView, now: Timestamp) -> AttemptRow {
    AttemptRow {
        number: view.number.0,
        runner: view.runner.to_string(),
        state: attempt_badge(view.state),
        detail: shown(&view.detail),
        started_at: view.started_at.to_string(),
        took: took(Some(view.started_at), view.finished_at, now),
    }
}

pub(crate) fn attempt_badge(state: store::AttemptState) -> Badge {
    match state {
        store::AttemptState::Running => Badge { word: "running", shape: "◐", class: "running" },
        store::AttemptState::Finished => Badge { word: "finished", shape: "●", class: "quiet" },
        store::AttemptState::Lost => Badge { word: "lost", shape: "▲", class: "errored" },
        store::AttemptState::HandedBack => Badge { word: "handed back", shape: "↩", class: "quiet" },
    }
}

fn queue_row(view: &QueueView, now: Timestamp) -> QueueRow {
    QueueRow {
        pool: view.pool.to_string(),
        waiting: view.waiting,
        queued: view.queued,
        running: view.running,
        oldest: view.oldest_queued_at.map_or("none".to_owned(), |since| duration(since, now)),
    }
}

fn runner_row(view: &RunnerView, now: Timestamp) -> RunnerRow {
    let state = match view.state {
        RunnerState::Idle => Badge { word: "idle", shape: "○", class: "quiet" },
        RunnerState::Busy => Badge { word: "busy", shape: "◐", class: "running" },
        RunnerState::Draining => Badge { word: "draining", shape: "◑", class: "waiting" },
        RunnerState::Quarantined => Badge { word: "quarantined", shape: "▲", class: "errored" },
        RunnerState::Gone => Badge { word: "gone", shape: "▲", class: "errored" },
    };
    let held = |attempt: &store::HeldAttempt| HeldRow {
        job: attempt.job.to_string(),
        name: shown(&attempt.job_name),
        attempt: attempt.attempt.0,
        since: duration(attempt.since, now),
    };
    RunnerRow {
        name: view.name.to_string(),
        pool: view.pool.to_string(),
        state,
        trouble: view.trouble.as_deref().map(shown),
        slots: view.slots,
        version: shown(&view.version),
        attempts: view.attempts.iter().map(held).collect(),
        seen: duration(view.last_seen, now),
    }
}

fn took(started: Option<Timestamp>, finished: Option<Timestamp>, now: Timestamp) -> String {
    started.map_or(String::new(), |start| duration(start, finished.unwrap_or(now)))
}

fn badge(state: store::State, verdict: Option<Verdict>, cancelling: bool) -> Badge {
    let (word, shape, class) = match (state, verdict) {
        (_, Some(Verdict::Passed)) => ("passed", "✔", "passed"),
        (_, Some(Verdict::Failed)) => ("failed", "✘", "failed"),
        (_, Some(Verdict::TimedOut)) => ("timed out", "⧖", "failed"),
        (_, Some(Verdict::Cancelled)) => ("cancelled", "⊘", "quiet"),
        (_, Some(Verdict::Skipped)) => ("skipped", "↷", "quiet"),
        (_, Some(Verdict::Errored)) => ("errored", "▲", "errored"),
        (store::State::Waiting, None) => ("waiting", "◌", "waiting"),
        (store::State::Queued, None) => ("queued", "○", "waiting"),
        (_, None) if cancelling => ("cancelling", "◐", "waiting"),
        (_, None) => ("running", "◐", "running"),
    };
    Badge { word, shape, class }
}
