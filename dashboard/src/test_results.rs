//! Tests: of a job, of a build, those that need a look, and the history of one; as JSON and as rows of pages.

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use messages::{TestCase, TestCounts, TestOutcome};
use serde::{Deserialize, Serialize};
use store::{JobTests, TestFilter, TestKind, TestRun, TestView};

use crate::Desk;
use crate::api::{bad, build_id, job_id, no_build, no_job};
use crate::asked::Asked;
use crate::error::Problem;
use crate::shown::shown;

const DEFAULT_LIMIT: u32 = 100;
const MOST_TESTS: u32 = 500;
/// How many red and flaky tests stand in a page; the API has the others.
const CASES_SHOWN: usize = 100;

#[derive(Serialize)]
pub(crate) struct TestsOfJob {
    job: String,
    build: String,
    attempt: Option<u32>,
    counts: Option<TestCounts>,
    cut: u64,
    notes: Vec<String>,
    tests: Vec<Case>,
}

#[derive(Serialize)]
pub(crate) struct TestsOfBuild {
    build: String,
    counts: Option<TestCounts>,
    jobs: Vec<JobOfBuild>,
}

#[derive(Serialize)]
struct JobOfBuild {
    job: String,
    name: String,
    attempt: u32,
    counts: TestCounts,
    cut: u64,
    notes: Vec<String>,
    failed: Vec<Case>,
    flaky: Vec<Case>,
}

/// One test of one attempt; its id leads to its history.
#[derive(Serialize)]
struct Case {
    id: String,
    suite: String,
    class: String,
    name: String,
    outcome: &'static str,
    duration_ms: Option<u64>,
    message: Option<String>,
    file: Option<String>,
    line: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct Tests {
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    id: String,
    repository: String,
    job_name: String,
    suite: String,
    class: String,
    name: String,
    outcome: &'static str,
    last_at: Timestamp,
    failing_since: Option<Timestamp>,
    flaky_at: Option<Timestamp>,
    typical_ms: u64,
}

#[derive(Serialize)]
pub(crate) struct TestInFull {
    #[serde(flatten)]
    test: Test,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Run {
    outcome: &'static str,
    flaky: bool,
    duration_ms: Option<u64>,
    job: String,
    attempt: u32,
    build: String,
    build_number: u64,
    #[serde(rename = "ref")]
    ref_name: String,
    commit: String,
    at: Timestamp,
}

/// What `/api/v1/tests` may be asked.
#[derive(Deserialize)]
pub(crate) struct TestsQuery {
    repository: Option<String>,
    outcome: Option<String>,
    suite: Option<String>,
    class: Option<String>,
    name: Option<String>,
    limit: Option<u32>,
}

pub(crate) async fn of_job(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<TestsOfJob>, Problem> {
    let id = job_id(&id)?;
    let job = desk.ledger.job(id).await?.ok_or_else(no_job)?;
    let build = desk.ledger.build(job.build).await?.ok_or_else(no_build)?;
    let tests = desk.ledger.job_tests(id).await?;
    let case = |case| Case::new(case, build.repository.as_str(), &job.name);
    let mut answer = TestsOfJob {
        job: id.to_string(),
        build: build.id.to_string(),
        attempt: None,
        counts: None,
        cut: 0,
        notes: Vec::new(),
        tests: Vec::new(),
    };
    if let Some(JobTests { attempt, summary, cases, .. }) = tests {
        answer.attempt = Some(attempt.0);
        answer.counts = Some(summary.counts);
        answer.cut = summary.cut;
        answer.notes = summary.notes;
        answer.tests = cases.into_iter().map(case).collect();
    }
    Ok(Json(answer))
}

pub(crate) async fn of_build(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<TestsOfBuild>, Problem> {
    let id = build_id(&id)?;
    let build = desk.ledger.build(id).await?.ok_or_else(no_build)?;
    let tests = desk.ledger.build_tests(id).await?;
    let counts = sum(tests.iter().map(|tests| tests.summary.counts));
    let mut jobs = Vec::with_capacity(tests.len());
    // In the pipeline's order.
    for job in &build.jobs {
        for JobTests { attempt, summary, cases, .. } in tests.iter().filter(|tests| tests.job == job.id) {
            let those = |wanted: fn(TestOutcome) -> bool| {
                let cases = cases.iter().filter(|case| wanted(case.outcome)).cloned();
                cases.map(|case| Case::new(case, build.repository.as_str(), &job.name)).collect()
            };
            jobs.push(JobOfBuild {
                job: job.id.to_string(),
                name: job.name.clone(),
                attempt: attempt.0,
                counts: summary.counts,
                cut: summary.cut,
                notes: summary.notes.clone(),
                failed: those(TestOutcome::is_bad),
                flaky: those(|outcome| outcome == TestOutcome::Flaky),
            });
        }
    }
    Ok(Json(TestsOfBuild { build: id.to_string(), counts, jobs }))
}

pub(crate) async fn tests(State(desk): State<Desk>, Asked(query): Asked<TestsQuery>) -> Result<Json<Tests>, Problem> {
    let kind = match query.outcome.as_deref() {
        None => None,
        Some("failed") => Some(TestKind::Failed),
        Some("slow") => Some(TestKind::Slow),
        Some("flaky") => Some(TestKind::Flaky),
        Some(_) => return Err(Problem::bad_request("outcome must be one of failed, slow, flaky")),
    };
    if query.repository.is_none() && (query.suite.is_some() || query.class.is_some() || query.name.is_some()) {
        return Err(Problem::bad_request("suite, class and name need a repository"));
    }
    let filter = TestFilter {
        repository: query.repository.map(|name| name.parse()).transpose().map_err(bad)?,
        kind,
        suite: query.suite,
        class: query.class,
        name: query.name,
        limit: query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_TESTS),
    };
    let tests = desk.ledger.tests(filter).await?;
    Ok(Json(Tests { tests: tests.into_iter().map(Test::from).collect() }))
}

pub(crate) async fn test(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<TestInFull>, Problem> {
    let found = desk.ledger.test(&id).await?;
    let (test, runs) = found.ok_or_else(|| Problem::not_found("there is no test with this id"))?;
    Ok(Json(TestInFull { test: test.into(), runs: runs.into_iter().map(Run::from).collect() }))
}

/// All together; `None` if there are none.
pub(crate) fn sum(counts: impl Iterator<Item = TestCounts>) -> Option<TestCounts> {
    counts.reduce(|mut sum, counts| {
        use TestOutcome::{Errored, Failed, Flaky, Passed, Skipped};
        let mut counts = counts;
        for outcome in [Passed, Failed, Errored, Skipped, Flaky] {
            let more = *counts.of_mut(outcome);
            let count = sum.of_mut(outcome);
            *count = count.saturating_add(more);
        }
        sum
    })
}

impl Case {
    fn new(case: TestCase, repository: &str, job: &str) -> Self {
        Self {
            id: store::test_id(repository, job, &case.suite, &case.class, &case.name),
            suite: case.suite,
            class: case.class,
            name: case.name,
            outcome: case.outcome.as_str(),
            duration_ms: case.duration_ms,
            message: case.message,
            file: case.file,
            line: case.line,
        }
    }
}

impl From<TestView> for Test {
    fn from(view: TestView) -> Self {
        Self {
            id: view.id,
            repository: view.repository.to_string(),
            job_name: view.job_name,
            suite: view.suite,
            class: view.class,
            name: view.name,
            outcome: view.outcome.as_str(),
            last_at: view.last_at,
            failing_since: view.failing_since,
            flaky_at: view.flaky_at,
            typical_ms: view.typical_ms,
        }
    }
}

impl From<TestRun> for Run {
    fn from(run: TestRun) -> Self {
        Self {
            outcome: run.outcome.as_str(),
            flaky: run.flaky,
            duration_ms: run.duration_ms,
            job: run.job.to_string(),
            attempt: run.attempt.0,
            build: run.build.to_string(),
            build_number: run.build_number,
            ref_name: run.ref_name.to_string(),
            commit: run.commit.to_string(),
            at: run.at,
        }
    }
}

/// The tests of a page: how many, what could not be read, and those that need a look.
#[derive(Default)]
pub(crate) struct Shown {
    /// Empty if there are no tests.
    pub(crate) counts: String,
    pub(crate) notes: Vec<String>,
    pub(crate) cases: Vec<CaseRow>,
    /// How many more there are by name.
    pub(crate) more: usize,
}

pub(crate) struct CaseRow {
    pub(crate) outcome: &'static str,
    pub(crate) name: String,
    pub(crate) place: String,
    pub(crate) message: String,
}

impl Shown {
    pub(crate) fn of(tests: &[JobTests]) -> Self {
        let Some(counts) = sum(tests.iter().map(|tests| tests.summary.counts)) else { return Self::default() };
        let red = |case: &&TestCase| case.outcome.is_bad() || case.outcome == TestOutcome::Flaky;
        let all: Vec<&TestCase> = tests.iter().flat_map(|tests| &tests.cases).filter(red).collect();
        Self {
            counts: in_words(&counts),
            notes: tests.iter().flat_map(|tests| &tests.summary.notes).map(|note| shown(note)).collect(),
            cases: all.iter().take(CASES_SHOWN).map(|case| CaseRow::new(case)).collect(),
            more: all.len().saturating_sub(CASES_SHOWN),
        }
    }
}

impl CaseRow {
    fn new(case: &TestCase) -> Self {
        let mut parts: Vec<&str> = vec![&case.suite, &case.class, &case.name];
        parts.dedup();
        parts.retain(|part| !part.is_empty());
        let place = match (&case.file, case.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => String::new(),
        };
        Self {
            outcome: case.outcome.as_str(),
            name: shown(&parts.join(" / ")),
            place: shown(&place),
            message: shown(case.message.as_deref().unwrap_or_default()),
        }
    }
}

/// `12 passed, 1 failed`.
pub(crate) fn in_words(counts: &TestCounts) -> String {
    let TestCounts { passed, failed, errored, skipped, flaky } = counts;
    let parts = [(passed, "passed"), (failed, "failed"), (errored, "errored"), (flaky, "flaky"), (skipped, "skipped")];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| **count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if said.is_empty() { "none".to_owned() } else { said.join(", ") }
}
