//! What the tests of an attempt said, piece by piece, and the history of each test.
//!
//! Never part of a verdict. Bounded: of a repository the newest [`WHOLE`] reports keep all their cases and the
//! newest [`RED`] their red ones, older ones their counts; at most [`TESTS`] tests have a history, of
//! [`crate::test_runs::RUNS`] runs each.

use std::collections::HashMap;

use messages::{
    AttemptNumber, BuildId, MAX_CASES_IN_PIECE, MAX_TEST_MESSAGE_BYTES, MAX_TEST_NAME_BYTES, MAX_TEST_PIECES, TestCase,
    TestOutcome, TestResults,
};
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::rows::{attempt_word, parse, to_count, to_json};
use crate::sql::{lists, pieces, push_list};
use crate::sqlite::Db;
use crate::test_runs::{self, Run};
use crate::transaction::Tx;
use crate::writer::Write;
use crate::{AttemptState, ChangeSubject, LedgerError, Recording};

/// How many reports of a repository keep all their cases.
const WHOLE: i64 = 200;
/// How many keep those that are red or flaky.
const RED: i64 = 2_000;
/// How many tests of a repository have a history. Beyond it those go that were not seen for the longest time.
const TESTS: i64 = 50_000;
/// So many more go with them, so that the search for the oldest is rare.
const ROOM: i64 = 5_000;
/// The most reports of the same job on the same tree that a run is compared with: the newest.
const SAME_TREE: i64 = 50;

/// [`crate::Ledger::record_tests`].
pub(crate) struct Record(pub(crate) TestResults);

from_row! {
    struct Owner {
        token: String,
        state: String,
        build: String,
        job_name: String,
        repository: String,
        tree_id: String,
    }
}

from_row! {
    struct Known {
        id: String,
        failing_since: Option<i64>,
        flaky_at: Option<i64>,
        recent: String,
    }
}

/// A row of `tests` to be written.
struct TestRow<'c> {
    id: String,
    case: &'c TestCase,
    failing_since: Option<i64>,
    flaky_at: Option<i64>,
    slow_ms: i64,
    recent: String,
}

impl Write for Record {
    type Answer = Recording;

    async fn run(&mut self, tx: &mut Tx) -> Result<Recording, LedgerError> {
        let results = &self.0;
        if !is_bounded(results) {
            return Ok(Recording::Unknown);
        }
        let Some(owner) = owner(tx, results).await? else { return Ok(Recording::Unknown) };
        let runs = [AttemptState::Running, AttemptState::Finished].map(attempt_word).contains(&owner.state.as_str());
        // A finished one has a successor perhaps, and what it said is history all the same; a lost one never speaks.
        if owner.token != results.token.expose() || !runs {
            return Ok(Recording::Stale);
        }
        let report = report(tx, results, &owner).await?;
        let (red, other): (Vec<&TestCase>, Vec<&TestCase>) =
            results.cases.iter().partition(|case| case.outcome.is_bad() || case.outcome == TestOutcome::Flaky);
        let new = sqlx::query(
            "INSERT INTO test_pieces (report, piece, red, other) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(report)
        .bind(i64::from(results.piece))
        .bind(to_json(&red)?)
        .bind(to_json(&other)?)
        .execute(&mut tx.conn)
        .await?;
        if new.rows_affected() == 0 {
            return Ok(Recording::Again);
        }
        histories(tx, report, &owner, &results.cases).await?;
        tx.touched.subject(&ChangeSubject::Job(results.job));
        tx.touched.subject(&ChangeSubject::Build(parse::<BuildId>(&owner.build)?));
        Ok(Recording::Recorded)
    }
}

/// A runner cuts what it sends; one that does not is not believed.
fn is_bounded(results: &TestResults) -> bool {
    let summary = &results.summary;
    let text = |text: &Option<String>, most: usize| text.as_ref().is_none_or(|text| text.len() <= most);
    results.piece < results.pieces
        && results.pieces <= MAX_TEST_PIECES
        && results.cases.len() <= MAX_CASES_IN_PIECE
        && summary.notes.len() <= 100
        && summary.notes.iter().all(|note| note.len() <= 1000)
        && results.cases.iter().all(|case| {
            [&case.suite, &case.class, &case.name].iter().all(|name| name.len() <= MAX_TEST_NAME_BYTES)
                && text(&case.message, MAX_TEST_MESSAGE_BYTES)
                && text(&case.file, MAX_TEST_NAME_BYTES)
        })
}

async fn owner(tx: &mut Tx, results: &TestResults) -> Result<Option<Owner>, LedgerError> {
    Ok(sqlx::query_as(
        "SELECT a.token, a.state, j.build, j.name AS job_name, b.repository, b.tree_id \
         FROM attempts a JOIN jobs j ON j.id = a.job JOIN builds b ON b.id = j.build WHERE a.job = $1 AND a.number = $2",
    )
    .bind(results.job.to_string())
    .bind(i64::from(results.attempt.0))
    .fetch_optional(&mut tx.conn)
    .await?)
}

/// The number of the attempt's report; the first piece of it makes it.
async fn report(tx: &mut Tx, results: &TestResults, owner: &Owner) -> Result<i64, LedgerError> {
    let AttemptNumber(attempt) = results.attempt;
    let known: Option<i64> = sqlx::query_scalar("SELECT number FROM test_reports WHERE job = $1 AND attempt = $2")
        .bind(results.job.to_string())
        .bind(i64::from(attempt))
        .fetch_optional(&mut tx.conn)
        .await?;
    if let Some(number) = known {
        return Ok(number);
    }
    let number = tx.next_order();
    let counts = &results.summary.counts;
    sqlx::query(
        "INSERT INTO test_reports (number, job, attempt, build, repository, job_name, tree_id, recorded_at, passed, \
         failed, errored, skipped, flaky, cut, notes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(number)
    .bind(results.job.to_string())
    .bind(i64::from(attempt))
    .bind(owner.build.clone())
    .bind(owner.repository.clone())
    .bind(owner.job_name.clone())
    .bind(owner.tree_id.clone())
    .bind(tx.now)
    .bind(to_count(counts.passed))
    .bind(to_count(counts.failed))
    .bind(to_count(counts.errored))
    .bind(to_count(counts.skipped))
    .bind(to_count(counts.flaky))
    .bind(to_count(results.summary.cut))
    .bind(to_json(&results.summary.notes)?)
    .execute(&mut tx.conn)
    .await?;
    // Each new report lets one fall behind each of the two marks.
    for (behind, statement) in [
        (WHOLE, "UPDATE test_pieces SET other = NULL WHERE report = $1"),
        (RED, "DELETE FROM test_pieces WHERE report = $1"),
    ] {
        let falls: Option<i64> = sqlx::query_scalar(
            "SELECT number FROM test_reports WHERE repository = $1 ORDER BY number DESC LIMIT 1 OFFSET $2",
        )
        .bind(owner.repository.clone())
        .bind(behind)
        .fetch_optional(&mut tx.conn)
        .await?;
        if let Some(report) = falls {
            sqlx::query(statement).bind(report).execute(&mut tx.conn).await?;
        }
    }
    Ok(number)
}

async fn histories(tx: &mut Tx, report: i64, owner: &Owner, cases: &[TestCase]) -> Result<(), LedgerError> {
    let same_tree: Vec<i64> = sqlx::query_scalar(
        "SELECT number FROM test_reports WHERE repository = $1 AND tree_id = $2 AND job_name = $3 AND number <> $4 \
         ORDER BY number DESC LIMIT $5",
    )
    .bind(owner.repository.clone())
    .bind(owner.tree_id.clone())
    .bind(owner.job_name.clone())
    .bind(report)
    .bind(SAME_TREE)
    .fetch_all(&mut tx.conn)
    .await?;
    // The later of two cases with one name stands for both: one statement cannot write a row twice.
    let mut ids: HashMap<String, &TestCase> = HashMap::new();
    for case in cases {
        let id = test_runs::id_of(&owner.repository, &owner.job_name, &case.suite, &case.class, &case.name);
        ids.insert(id, case);
    }
    let names: Vec<String> = ids.keys().cloned().collect();
    let mut known: HashMap<String, Known> = HashMap::new();
    for list in lists(&names) {
        let mut query = QueryBuilder::<Db>::new("SELECT id, failing_since, flaky_at, recent FROM tests WHERE id IN ");
        push_list(&mut query, list);
        for row in query.build_query_as::<Known>().fetch_all(&mut tx.conn).await? {
            known.insert(row.id.clone(), row);
        }
    }
    make_room(tx, &owner.repository, to_count((ids.len() - known.len()) as u64)).await?;
    let mut rows = Vec::with_capacity(ids.len());
    for (id, case) in ids {
        rows.push(row(id.clone(), case, known.get(&id), report, &same_tree, tx.now)?);
    }
    put(tx, owner, report, &rows).await
}

fn row<'c>(
    id: String,
    case: &'c TestCase,
    known: Option<&Known>,
    report: i64,
    same_tree: &[i64],
    now: i64,
) -> Result<TestRow<'c>, LedgerError> {
    let mut runs = known.map(|known| test_runs::read(&known.recent)).transpose()?.unwrap_or_default();
    let duration_ms = case.duration_ms.map(to_count);
    test_runs::add(&mut runs, Run { report, outcome: case.outcome, flaky: false, duration_ms }, same_tree);
    let before = known.and_then(|known| known.failing_since);
    let failing_since = match case.outcome {
        TestOutcome::Failed | TestOutcome::Errored => before.or(Some(now)),
        TestOutcome::Passed | TestOutcome::Flaky => None,
        // Not run is no news.
        TestOutcome::Skipped => before,
    };
    let flaky_at = if runs.first().is_some_and(|run| run.flaky) {
        Some(now)
    } else {
        known.and_then(|known| known.flaky_at).filter(|_| runs.iter().any(|run| run.flaky))
    };
    let slow_ms = test_runs::typical_ms(&runs);
    Ok(TestRow { id, case, failing_since, flaky_at, slow_ms, recent: test_runs::write(&runs) })
}

/// Lets the tests go that were not seen for the longest time, if there would be too many.
async fn make_room(tx: &mut Tx, repository: &str, new: i64) -> Result<(), LedgerError> {
    if new == 0 {
        return Ok(());
    }
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM tests WHERE repository = $1")
        .bind(repository.to_owned())
        .fetch_one(&mut tx.conn)
        .await?;
    if there + new > TESTS {
        sqlx::query(
            "DELETE FROM tests WHERE id IN (SELECT id FROM tests WHERE repository = $1 ORDER BY last_report LIMIT $2)",
        )
        .bind(repository.to_owned())
        .bind(there + new - TESTS + ROOM)
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

async fn put(tx: &mut Tx, owner: &Owner, report: i64, rows: &[TestRow<'_>]) -> Result<(), LedgerError> {
    for piece in pieces(rows) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO tests (id, repository, job_name, suite, class, name, outcome, last_report, last_at, \
             failing_since, flaky_at, slow_ms, recent) ",
        );
        query.push_values(piece, |mut values, row| {
            values
                .push_bind(row.id.clone())
                .push_bind(owner.repository.clone())
                .push_bind(owner.job_name.clone())
                .push_bind(row.case.suite.clone())
                .push_bind(row.case.class.clone())
                .push_bind(row.case.name.clone())
                .push_bind(row.case.outcome.as_str())
                .push_bind(report)
                .push_bind(tx.now)
                .push_bind(row.failing_since)
                .push_bind(row.flaky_at)
                .push_bind(row.slow_ms)
                .push_bind(row.recent.clone());
        });
        query.push(
            " ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, last_report = excluded.last_report, \
             last_at = excluded.last_at, failing_since = excluded.failing_since, flaky_at = excluded.flaky_at, \
             slow_ms = excluded.slow_ms, recent = excluded.recent",
        );
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}
