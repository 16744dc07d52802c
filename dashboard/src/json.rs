//! The shape of the API's answers. Fixed by the design, because people and scripts build on it.

use jiff::Timestamp;
use serde::Serialize;
use store::{AttemptView, BuildView, HeldAttempt, JobView, QueueView, RunnerView, State};

use crate::test_results::sum;

#[derive(Serialize)]
pub(crate) struct Builds {
    pub(crate) builds: Vec<Build>,
}

#[derive(Serialize)]
pub(crate) struct Build {
    id: String,
    number: u64,
    repository: String,
    url: String,
    #[serde(rename = "ref")]
    ref_name: String,
    commit: String,
    subject: String,
    author: String,
    state: State,
    verdict: Option<&'static str>,
    reason: Option<Reason>,
    skipped_before: u64,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// How the tests of its jobs went, those that were run again left out.
    tests: Option<messages::TestCounts>,
    jobs: Vec<Job>,
}

#[derive(Serialize)]
pub(crate) struct Reason {
    kind: &'static str,
    detail: String,
}

#[derive(Serialize)]
pub(crate) struct Job {
    id: String,
    build: String,
    name: String,
    pool: String,
    state: State,
    waiting_for: Vec<String>,
    cancelling: bool,
    verdict: Option<&'static str>,
    reason: Option<Reason>,
    skipped: Option<store::Skipped>,
    allow_failure: bool,
    attempt: Option<u32>,
    runner: Option<String>,
    created_at: Timestamp,
    queued_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    retry_of: Option<String>,
    tests: Option<messages::TestCounts>,
}

/// One job with everything that is known of it.
#[derive(Serialize)]
pub(crate) struct JobInFull {
    #[serde(flatten)]
    job: Job,
    spec: messages::JobSpec,
    attempts: Vec<Attempt>,
}

#[derive(Serialize)]
pub(crate) struct Attempt {
    number: u32,
    runner: String,
    state: store::AttemptState,
    detail: String,
    steps: Vec<messages::StepResult>,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    log_length: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct Queues {
    pub(crate) queues: Vec<Queue>,
}

#[derive(Serialize)]
pub(crate) struct Queue {
    pool: String,
    waiting: u64,
    queued: u64,
    running: u64,
    oldest_wait_seconds: f64,
}

#[derive(Serialize)]
pub(crate) struct Runners {
    pub(crate) runners: Vec<Runner>,
}

#[derive(Serialize)]
pub(crate) struct Runner {
    name: String,
    pool: String,
    state: store::RunnerState,
    trouble: Option<String>,
    slots: u32,
    version: String,
    attempts: Vec<Held>,
    last_seen: Timestamp,
}

#[derive(Serialize)]
pub(crate) struct Held {
    job: String,
    job_name: String,
    attempt: u32,
    since: Timestamp,
}

pub(crate) fn reason(reason: Option<messages::ErroredReason>) -> Option<Reason> {
    reason.map(|reason| Reason { kind: reason.kind.as_str(), detail: reason.detail })
}

impl From<BuildView> for Build {
    fn from(view: BuildView) -> Self {
        Self {
            id: view.id.to_string(),
            number: view.number,
            repository: view.repository.to_string(),
            url: view.url,
            ref_name: view.ref_name.to_string(),
            commit: view.commit.to_string(),
            subject: view.subject,
            author: view.author,
            state: view.state,
            verdict: view.verdict.map(messages::Verdict::as_str),
            reason: reason(view.reason),
            skipped_before: view.skipped_before,
            created_at: view.created_at,
            started_at: view.started_at,
            finished_at: view.finished_at,
            tests: test_counts(&view.jobs),
            jobs: view.jobs.into_iter().map(Job::from).collect(),
        }
    }
}

fn test_counts(jobs: &[JobView]) -> Option<messages::TestCounts> {
    let again: Vec<_> = jobs.iter().filter_map(|job| job.retry_of).collect();
    sum(jobs.iter().filter(|job| !again.contains(&job.id)).filter_map(|job| job.tests))
}

impl From<JobView> for Job {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id.to_string(),
            build: view.build.to_string(),
            name: view.name,
            pool: view.pool.to_string(),
            state: view.state,
            waiting_for: view.waiting_for,
            cancelling: view.cancelling,
            verdict: view.verdict.map(messages::Verdict::as_str),
            reason: reason(view.reason),
            skipped: view.skipped,
            allow_failure: view.allow_failure,
            attempt: view.attempt.map(|number| number.0),
            runner: view.runner.map(String::from),
            created_at: view.created_at,
            queued_at: view.queued_at,
            started_at: view.started_at,
            finished_at: view.finished_at,
            retry_of: view.retry_of.map(|id| id.to_string()),
            tests: view.tests,
        }
    }
}

impl JobInFull {
    pub(crate) fn new(view: JobView, attempts: Vec<AttemptView>) -> Self {
        let spec = view.spec.clone();
        Self { job: view.into(), spec, attempts: attempts.into_iter().map(Attempt::from).collect() }
    }
}

impl From<AttemptView> for Attempt {
    fn from(view: AttemptView) -> Self {
        Self {
            number: view.number.0,
            runner: view.runner.to_string(),
            state: view.state,
            detail: view.detail,
            steps: view.steps,
            started_at: view.started_at,
            finished_at: view.finished_at,
            log_length: view.log_length,
        }
    }
}

impl Queue {
    pub(crate) fn new(view: &QueueView, now: Timestamp) -> Self {
        let wait = view.oldest_queued_at.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0));
        Self {
            pool: view.pool.to_string(),
            waiting: view.waiting,
            queued: view.queued,
            running: view.running,
            oldest_wait_seconds: (wait * 1000.0).round() / 1000.0,
        }
    }
}

impl From<RunnerView> for Runner {
    fn from(view: RunnerView) -> Self {
        Self {
            name: view.name.to_string(),
            pool: view.pool.to_string(),
            state: view.state,
            trouble: view.trouble,
            slots: view.slots,
            version: view.version,
            attempts: view.attempts.into_iter().map(Held::from).collect(),
            last_seen: view.last_seen,
        }
    }
}

impl From<HeldAttempt> for Held {
    fn from(held: HeldAttempt) -> Self {
        Self { job: held.job.to_string(), job_name: held.job_name, attempt: held.attempt.0, since: held.since }
    }
}
