//! A person asks for a done job again: a new job takes its place in the build, the old one stays as it is.
//!
//! Jobs that were skipped because of the old one (and those behind them) are made anew with it, else
//! the retry could never make the build green. Jobs that needed it and have run keep their verdict.

use std::collections::{HashMap, HashSet};

use messages::JobId;
use seams::chance;
use sqlx::QueryBuilder;

use crate::LedgerError;
use crate::from_row::from_row;
use crate::lifecycle::JobState;
use crate::rows::{parse, shown, state_word};
use crate::sql::{lists, push_list};
use crate::sqlite::Db;
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::cancel::note_order;
use crate::writes::intake_rows::{JobRow, put_jobs, put_needs};
use crate::writes::release;

/// [`crate::Ledger::retry_job`].
pub(crate) struct Retry {
    pub(crate) job: JobId,
    pub(crate) who: String,
}

from_row! {
    /// The newest job of one name.
    #[derive(Clone)]
    struct Row {
        id: String,
        build: String,
        position: i64,
        name: String,
        pool: String,
        state: String,
        blocked: i16,
        dependants: i16,
        spec: String,
        exclusive: i16,
        policy: String,
    }
}

impl Write for Retry {
    type Answer = Option<JobId>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Option<JobId>, LedgerError> {
        let fresh = again(tx, self.job).await?;
        if fresh.is_some() {
            note_order(tx, &self.who, "retry_job", &self.job.to_string()).await?;
        }
        Ok(fresh)
    }
}

/// Makes the new job, and those behind it. `None`: see [`crate::Ledger::retry_job`].
pub(crate) async fn again(tx: &mut Tx, job: JobId) -> Result<Option<JobId>, LedgerError> {
    let jobs: Vec<Row> = sqlx::query_as(
        "SELECT id, build, position, name, pool, state, blocked, dependants, policy, spec, exclusive FROM jobs \
             WHERE superseded = 0 AND build = (SELECT build FROM jobs WHERE id = $1)",
    )
    .bind(job.to_string())
    .fetch_all(&mut tx.conn)
    .await?;
    let name: Option<String> = sqlx::query_scalar("SELECT name FROM jobs WHERE id = $1")
        .bind(job.to_string())
        .fetch_optional(&mut tx.conn)
        .await?;
    // An older job of the name is retried by way of the newest one.
    let Some(newest) = jobs.iter().find(|job| Some(&job.name) == name.as_ref()) else { return Ok(None) };
    if newest.state != "done" || newest.blocked != 0 {
        return Ok(None);
    }
    let edges = edges(tx, &jobs).await?;
    let again = renew(newest, &jobs, &edges);
    let fresh: HashMap<&str, JobId> = again.iter().map(|job| (job.id.as_str(), JobId(chance::ordered_id()))).collect();
    let waiting = jobs.iter().filter(|job| job.state == "waiting").map(|job| job.id.clone()).collect();
    insert(tx, &again, &fresh, &waiting, &edges).await?;
    Ok(fresh.get(newest.id.as_str()).copied())
}

/// Pairs (job, needed) within these jobs.
async fn edges(tx: &mut Tx, jobs: &[Row]) -> Result<Vec<(String, String)>, LedgerError> {
    let ids: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
    let mut edges = Vec::new();
    for list in lists(&ids) {
        let mut query = QueryBuilder::<Db>::new("SELECT job, needed FROM needs WHERE job IN ");
        push_list(&mut query, list);
        edges.extend(query.build_query_as::<(String, String)>().fetch_all(&mut tx.conn).await?);
    }
    Ok(edges)
}

/// The job itself and all that were skipped because of it.
fn renew<'a>(job: &'a Row, jobs: &'a [Row], edges: &[(String, String)]) -> Vec<&'a Row> {
    let mut again = vec![job];
    let mut seen: HashSet<&str> = HashSet::from([job.id.as_str()]);
    let mut at = 0;
    while let Some(job) = again.get(at).copied() {
        let behind = edges.iter().filter(|(_, needed)| *needed == job.id).map(|(job, _)| job);
        for id in behind {
            if let Some(row) = jobs.iter().find(|row| row.id == *id && row.blocked != 0)
                && seen.insert(row.id.as_str())
            {
                again.push(row);
            }
        }
        at += 1;
    }
    again
}

async fn insert(
    tx: &mut Tx,
    again: &[&Row],
    fresh: &HashMap<&str, JobId>,
    waiting: &HashSet<String>,
    edges: &[(String, String)],
) -> Result<(), LedgerError> {
    let mut rows = Vec::new();
    for job in again {
        let id = fresh[job.id.as_str()];
        tx.touched.moved(parse(&job.build)?, id, &parse(&job.pool)?, None, JobState::FIRST);
        rows.push(JobRow {
            id: id.to_string(),
            build: job.build.clone(),
            order: tx.next_order(),
            position: job.position,
            name: job.name.clone(),
            pool: job.pool.clone(),
            state: state_word(shown(JobState::FIRST)),
            // Who asks for a job that was left out wants it to run.
            filtered: None,
            dependants: job.dependants != 0,
            policy: job.policy.clone(),
            spec: job.spec.clone(),
            exclusive: job.exclusive != 0,
            retry_of: Some(job.id.clone()),
            queued_at: None,
        });
    }
    put_jobs(tx, &rows).await?;
    let old: Vec<String> = again.iter().map(|job| job.id.clone()).collect();
    for list in lists(&old) {
        let mut query = QueryBuilder::<Db>::new("UPDATE jobs SET superseded = 1 WHERE id IN ");
        push_list(&mut query, list);
        query.build().execute(&mut tx.conn).await?;
    }
    put_needs(tx, &renewed_edges(fresh, waiting, edges)).await?;
    let ids: Vec<JobId> = fresh.values().copied().collect();
    let ended = release::resolve(tx, &ids).await?;
    release::behind(tx, ended).await
}

/// The edges of the new jobs, with new ids where there are some. A job that still waits needs the new job too.
fn renewed_edges(
    fresh: &HashMap<&str, JobId>,
    waiting: &HashSet<String>,
    edges: &[(String, String)],
) -> Vec<(String, String)> {
    let name = |old: &String| fresh.get(old.as_str()).map_or_else(|| old.clone(), ToString::to_string);
    edges
        .iter()
        .filter(|(job, needed)| {
            fresh.contains_key(job.as_str()) || (waiting.contains(job) && fresh.contains_key(needed.as_str()))
        })
        .map(|(job, needed)| (name(job), name(needed)))
        .collect()
}
