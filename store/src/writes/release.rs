//! What follows for the jobs that need a job which has ended.

use std::collections::{BTreeSet, HashMap};

use messages::JobId;
use sqlx::QueryBuilder;

use crate::LedgerError;
use crate::lifecycle::{JobEvent, JobState};
use crate::moves::{self, JobRow};
use crate::rows::{odd, parse, texts};
use crate::sql::{lists, push_list};
use crate::sqlite::Db;
use crate::transaction::Tx;

/// Queues every job whose needs have all ended well, and skips those of which one did not, and those
/// behind them.
pub(crate) async fn dependants(tx: &mut Tx, ended: Vec<JobRow>) -> Result<(), LedgerError> {
    let is_relevant = |job: &JobRow| job.dependants && matches!(job.state, JobState::Done(_));
    behind(tx, ended.into_iter().filter(is_relevant).map(|job| job.id).collect()).await
}

/// [`dependants`], for jobs that are known to have ended.
pub(crate) async fn behind(tx: &mut Tx, mut ended: Vec<JobId>) -> Result<(), LedgerError> {
    while !ended.is_empty() {
        let waiting = edges(tx, "needed", &ended).await?;
        let waiting: Vec<JobId> =
            waiting.into_iter().map(|(job, _)| job).collect::<BTreeSet<_>>().into_iter().collect();
        ended = resolve(tx, &waiting).await?;
    }
    Ok(())
}

/// Moves those of `jobs` that wait and whose needs are decided. Returns the ones that ended by it.
pub(crate) async fn resolve(tx: &mut Tx, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
    let mut needs: HashMap<JobId, Vec<JobId>> = jobs.iter().map(|job| (*job, Vec::new())).collect();
    for (job, needed) in edges(tx, "job", jobs).await? {
        needs.entry(job).or_default().push(needed);
    }
    let mut all: Vec<JobId> = needs.values().flatten().copied().chain(jobs.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    let rows = moves::load(tx, &all).await?;
    let (mut steps, mut ended) = (Vec::new(), Vec::new());
    for job in jobs {
        let Some(mut row) = rows.get(job).cloned().filter(|row| row.state == JobState::Waiting) else { continue };
        let ends: Vec<Option<bool>> =
            needs[job].iter().map(|needed| rows.get(needed).and_then(JobRow::ended_well)).collect();
        let event = if ends.contains(&Some(false)) {
            JobEvent::NeedsFailed
        } else if ends.contains(&None) {
            continue;
        } else {
            JobEvent::NeedsMet
        };
        steps.push(row.step(&event, None).map_err(odd)?);
        if event == JobEvent::NeedsFailed {
            ended.push(*job);
        }
    }
    moves::save(tx, &steps).await?;
    Ok(ended)
}

/// Pairs (job, needed) of which one side, `job` or `needed`, is among `ids`.
async fn edges(tx: &mut Tx, side: &'static str, ids: &[JobId]) -> Result<Vec<(JobId, JobId)>, LedgerError> {
    let mut pairs = Vec::new();
    for list in lists(ids) {
        let mut query = QueryBuilder::<Db>::new("SELECT job, needed FROM needs WHERE ");
        query.push(side).push(" IN ");
        push_list(&mut query, &texts(list));
        for (job, needed) in query.build_query_as::<(String, String)>().fetch_all(&mut tx.conn).await? {
            pairs.push((parse(&job)?, parse(&needed)?));
        }
    }
    Ok(pairs)
}
