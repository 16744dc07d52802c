//! The shape of the parking lot's answers.

use jiff::Timestamp;
use serde::Serialize;
use store::parking::{MOST_LOST, MOST_ROUNDS, OrderView, ParkedJob, Standing};

use super::evidence::Evidence;
use super::letters_json::Letter;
use crate::json::{Reason, reason};

#[derive(Serialize)]
pub(super) struct List {
    pub(super) jobs: Vec<Job>,
    pub(super) letters: Vec<Letter>,
    pub(super) letters_dropped: u64,
}

/// A parked job, as it is listed.
#[derive(Serialize)]
pub(super) struct Job {
    kind: &'static str,
    id: String,
    standing: &'static str,
    run_again_as: Option<String>,
    parked_at: Timestamp,
    repository: String,
    build: String,
    build_number: u64,
    #[serde(rename = "ref")]
    ref_name: String,
    commit: String,
    subject: String,
    name: String,
    pool: String,
    attempt: Option<u32>,
    runner: Option<String>,
    reason: Option<Reason>,
    caps: Caps,
}

/// How far a job came towards each cap.
#[derive(Serialize)]
struct Caps {
    runner_lost: Cap,
    errored: Cap,
    without_verdict: Cap,
}

#[derive(Serialize)]
struct Cap {
    count: u64,
    most: i64,
}

/// A parked job with all evidence.
#[derive(Serialize)]
pub(super) struct JobInFull {
    #[serde(flatten)]
    pub(super) job: Job,
    attempts: Vec<Attempt>,
    orders: Vec<OrderView>,
}

#[derive(Serialize)]
struct Attempt {
    number: u32,
    runner: String,
    state: store::AttemptState,
    detail: String,
    cause: Option<&'static str>,
    counts_towards: Vec<String>,
    steps: Vec<messages::StepResult>,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    log_bytes: u64,
    last_lines: Vec<String>,
}

impl From<ParkedJob> for Job {
    fn from(parked: ParkedJob) -> Self {
        let ParkedJob { job, counts, .. } = parked;
        Self {
            kind: "job",
            id: job.id.to_string(),
            standing: parked.standing.as_str(),
            run_again_as: match parked.standing {
                Standing::RunAgain(again) => Some(again.to_string()),
                Standing::Parked | Standing::Discarded => None,
            },
            parked_at: parked.parked_at,
            repository: parked.repository.to_string(),
            build: job.build.to_string(),
            build_number: parked.build_number,
            ref_name: parked.ref_name.to_string(),
            commit: parked.commit.to_string(),
            subject: parked.subject,
            name: job.name,
            pool: job.pool.to_string(),
            attempt: job.attempt.map(|number| number.0),
            runner: job.runner.map(String::from),
            reason: reason(job.reason),
            caps: Caps {
                runner_lost: Cap { count: counts.lost, most: MOST_LOST },
                errored: Cap { count: counts.errored, most: i64::try_from(counts.most_errored).unwrap_or(i64::MAX) },
                without_verdict: Cap { count: counts.rounds, most: MOST_ROUNDS },
            },
        }
    }
}

impl JobInFull {
    pub(super) fn new(parked: ParkedJob, evidence: Vec<Evidence>, orders: Vec<OrderView>) -> Self {
        Self { job: parked.into(), attempts: evidence.into_iter().map(Attempt::from).collect(), orders }
    }
}

impl From<Evidence> for Attempt {
    fn from(evidence: Evidence) -> Self {
        let Evidence { attempt, log_bytes, last_lines } = evidence;
        Self {
            number: attempt.number.0,
            runner: attempt.runner.to_string(),
            state: attempt.state,
            detail: attempt.detail,
            cause: attempt.cause.map(store::parking::EndCause::as_str),
            counts_towards: attempt.cause.map(store::parking::EndCause::counts_towards).unwrap_or_default(),
            steps: attempt.steps,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            log_bytes,
            last_lines,
        }
    }
}
