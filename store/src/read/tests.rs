//! Tests: those of a job and of a build, those that need a look, and the history of one.

use std::collections::HashMap;

use messages::{BuildId, JobId, TestCase, TestCounts, TestSummary};
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::rows::{attempt_of, count, json, maybe_time, odd, parse, texts, time};
use crate::sql::{lists, push_list};
use crate::sqlite::Db;
use crate::test_runs::{self, outcome_of};
use crate::{JobTests, JobView, Ledger, LedgerError, TestFilter, TestKind, TestRun, TestView};

/// The longest page of tests.
const LONGEST_PAGE: u32 = 500;

const REPORT: &str = "SELECT number, job, attempt, build, recorded_at, passed, failed, errored, skipped, flaky, cut, notes \
     FROM test_reports WHERE ";

from_row! {
    struct ReportRow {
        number: i64,
        job: String,
        attempt: i64,
        build: String,
        recorded_at: i64,
        passed: i64,
        failed: i64,
        errored: i64,
        skipped: i64,
        flaky: i64,
        cut: i64,
        notes: String,
    }
}

impl ReportRow {
    fn counts(&self) -> Result<TestCounts, LedgerError> {
        Ok(TestCounts {
            passed: count(self.passed)?,
            failed: count(self.failed)?,
            errored: count(self.errored)?,
            skipped: count(self.skipped)?,
            flaky: count(self.flaky)?,
        })
    }
}

from_row! {
    struct PieceRow {
        red: Option<String>,
        other: Option<String>,
    }
}

from_row! {
    struct TestRow {
        id: String,
        repository: String,
        job_name: String,
        suite: String,
        class: String,
        name: String,
        outcome: String,
        last_at: i64,
        failing_since: Option<i64>,
        flaky_at: Option<i64>,
        slow_ms: i64,
        recent: String,
    }
}

impl TestRow {
    fn read(self) -> Result<TestView, LedgerError> {
        Ok(TestView {
            id: self.id,
            repository: parse(&self.repository)?,
            job_name: self.job_name,
            suite: self.suite,
            class: self.class,
            name: self.name,
            outcome: outcome_of(&self.outcome)?,
            last_at: time(self.last_at)?,
            failing_since: maybe_time(self.failing_since)?,
            flaky_at: maybe_time(self.flaky_at)?,
            typical_ms: count(self.slow_ms)?,
        })
    }
}

from_row! {
    struct RunRow {
        number: i64,
        job: String,
        attempt: i64,
        build: String,
        build_number: i64,
        ref_name: String,
        commit_id: String,
        recorded_at: i64,
    }
}

const TEST: &str = "SELECT id, repository, job_name, suite, class, name, outcome, last_at, failing_since, flaky_at, slow_ms, \
     recent FROM tests WHERE ";

impl Ledger {
    /// The tests of a job: of its last attempt that had any.
    pub async fn job_tests(&self, job: JobId) -> Result<Option<JobTests>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(REPORT);
        query.push("job = ").push_bind(job.to_string()).push(" ORDER BY attempt DESC LIMIT 1");
        match query.build_query_as::<ReportRow>().fetch_optional(&self.readers).await? {
            Some(row) => Ok(Some(self.with_cases(row, true).await?)),
            None => Ok(None),
        }
    }

    /// The tests of the jobs of a build, with the red and flaky ones by name. Jobs that were run again are left
    /// out: their successors speak for them.
    pub async fn build_tests(&self, build: BuildId) -> Result<Vec<JobTests>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(REPORT);
        query.push("build = ").push_bind(build.to_string());
        query.push(" AND job IN (SELECT id FROM jobs WHERE superseded = 0 AND build = ").push_bind(build.to_string());
        query.push(") ORDER BY job, attempt");
        let mut last: Vec<ReportRow> = Vec::new();
        for row in query.build_query_as::<ReportRow>().fetch_all(&self.readers).await? {
            match last.last_mut().filter(|last| last.job == row.job) {
                Some(older) => *older = row,
                None => last.push(row),
            }
        }
        let mut tests = Vec::with_capacity(last.len());
        for row in last {
            tests.push(self.with_cases(row, false).await?);
        }
        Ok(tests)
    }

    async fn with_cases(&self, row: ReportRow, all: bool) -> Result<JobTests, LedgerError> {
        let pieces: Vec<PieceRow> = sqlx::query_as(if all {
            "SELECT red, other FROM test_pieces WHERE report = $1 ORDER BY piece"
        } else {
            "SELECT red, NULL AS other FROM test_pieces WHERE report = $1 ORDER BY piece"
        })
        .bind(row.number)
        .fetch_all(&self.readers)
        .await?;
        let (mut red, mut other): (Vec<TestCase>, Vec<TestCase>) = (Vec::new(), Vec::new());
        for piece in &pieces {
            if let Some(text) = &piece.red {
                red.extend(json::<Vec<TestCase>>(text)?);
            }
            if let Some(text) = &piece.other {
                other.extend(json::<Vec<TestCase>>(text)?);
            }
        }
        let summary = TestSummary { counts: row.counts()?, cut: count(row.cut)?, notes: json(&row.notes)? };
        Ok(JobTests {
            job: parse(&row.job)?,
            build: parse(&row.build)?,
            attempt: attempt_of(row.attempt)?.ok_or_else(|| odd("a test report of the attempt 0"))?,
            recorded_at: time(row.recorded_at)?,
            summary,
            cases: red.into_iter().chain(other).collect(),
        })
    }

    /// Tests that fail, are slow or flaky, or that have these names.
    pub async fn tests(&self, filter: TestFilter) -> Result<Vec<TestView>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(TEST);
        query.push("1 = 1");
        if let Some(repository) = &filter.repository {
            query.push(" AND repository = ").push_bind(repository.to_string());
        }
        for (column, wanted) in [("name", &filter.name), ("class", &filter.class), ("suite", &filter.suite)] {
            if let Some(wanted) = wanted {
                query.push(format!(" AND {column} = ")).push_bind(wanted.clone());
            }
        }
        query.push(match filter.kind {
            None => " ORDER BY repository, name, id LIMIT ",
            Some(TestKind::Failed) => " AND failing_since IS NOT NULL ORDER BY failing_since DESC, id LIMIT ",
            Some(TestKind::Flaky) => " AND flaky_at IS NOT NULL ORDER BY flaky_at DESC, id LIMIT ",
            Some(TestKind::Slow) => " AND slow_ms >= 1000 ORDER BY slow_ms DESC, id LIMIT ",
        });
        query.push_bind(i64::from(filter.limit.clamp(1, LONGEST_PAGE)));
        let rows = query.build_query_as::<TestRow>().fetch_all(&self.readers).await?;
        rows.into_iter().map(TestRow::read).collect()
    }

    /// One test with its last runs, newest first.
    pub async fn test(&self, id: &str) -> Result<Option<(TestView, Vec<TestRun>)>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(TEST);
        query.push("id = ").push_bind(id.to_owned());
        let Some(row) = query.build_query_as::<TestRow>().fetch_optional(&self.readers).await? else { return Ok(None) };
        let runs = test_runs::read(&row.recent)?;
        let numbers: Vec<i64> = runs.iter().map(|run| run.report).collect();
        let mut reports: HashMap<i64, RunRow> = HashMap::new();
        for list in lists(&numbers) {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT t.number, t.job, t.attempt, t.build, b.number AS build_number, b.ref_name, b.commit_id, \
                 t.recorded_at FROM test_reports t JOIN builds b ON b.id = t.build WHERE t.number IN ",
            );
            push_list(&mut query, list);
            for row in query.build_query_as::<RunRow>().fetch_all(&self.readers).await? {
                reports.insert(row.number, row);
            }
        }
        let mut history = Vec::with_capacity(runs.len());
        for run in runs {
            let Some(report) = reports.get(&run.report) else { continue };
            history.push(TestRun {
                outcome: run.outcome,
                flaky: run.flaky,
                duration_ms: run.duration_ms.map(count).transpose()?,
                job: parse(&report.job)?,
                attempt: attempt_of(report.attempt)?.ok_or_else(|| odd("a test report of the attempt 0"))?,
                build: parse(&report.build)?,
                build_number: count(report.build_number)?,
                ref_name: parse(&report.ref_name)?,
                commit: parse(&report.commit_id)?,
                at: time(report.recorded_at)?,
            });
        }
        Ok(Some((row.read()?, history)))
    }

    /// Says of each job how its tests went.
    pub(crate) async fn count_tests(&self, jobs: &mut [JobView]) -> Result<(), LedgerError> {
        let ids: Vec<JobId> = jobs.iter().filter(|job| job.attempt.is_some()).map(|job| job.id).collect();
        let mut found: HashMap<String, (i64, TestCounts)> = HashMap::new();
        for list in lists(&ids) {
            let mut query = QueryBuilder::<Db>::new(REPORT);
            query.push("job IN ");
            push_list(&mut query, &texts(list));
            for row in query.build_query_as::<ReportRow>().fetch_all(&self.readers).await? {
                let counts = row.counts()?;
                let last = found.entry(row.job).or_insert((row.attempt, counts));
                if row.attempt >= last.0 {
                    *last = (row.attempt, counts);
                }
            }
        }
        for job in jobs {
            job.tests = found.get(&job.id.to_string()).map(|(_, counts)| *counts);
        }
        Ok(())
    }
}
