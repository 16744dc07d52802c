//! The JSON API: every page's data, and the commands.

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use messages::{BuildId, JobId};
use serde::Deserialize;
use store::BuildFilter;

use crate::Desk;
use crate::asked::Asked;
use crate::error::Problem;
use crate::json::{Build, Builds, JobInFull, Queue, Queues, Runner, Runners};

const DEFAULT_LIMIT: u32 = 50;
const MOST_BUILDS: u32 = 200;

/// What `/api/v1/builds` may be asked.
#[derive(Deserialize)]
pub(crate) struct BuildsQuery {
    commit: Option<String>,
    repository: Option<String>,
    #[serde(rename = "ref")]
    ref_name: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

pub(crate) async fn builds(
    State(desk): State<Desk>,
    Asked(query): Asked<BuildsQuery>,
) -> Result<Json<Builds>, Problem> {
    let builds = desk.ledger.builds(filter(query)?).await?;
    Ok(Json(Builds { builds: builds.into_iter().map(Build::from).collect() }))
}

/// What a query asks of the ledger.
pub(crate) fn filter(query: BuildsQuery) -> Result<BuildFilter, Problem> {
    if let Some(commit) = &query.commit {
        let fits = (4..=64).contains(&commit.len())
            && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !fits {
            return Err(Problem::bad_request("commit needs 4 to 64 hexadecimal digits in lower case"));
        }
    }
    Ok(BuildFilter {
        commit: query.commit,
        repository: query.repository.map(|name| name.parse()).transpose().map_err(bad)?,
        ref_name: query.ref_name,
        before: query.before.map(|id| id.parse()).transpose().map_err(bad)?,
        limit: query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_BUILDS),
    })
}

pub(crate) async fn build(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<Build>, Problem> {
    let id = build_id(&id)?;
    let build = desk.ledger.build(id).await?.ok_or_else(no_build)?;
    Ok(Json(build.into()))
}

pub(crate) async fn job(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<JobInFull>, Problem> {
    let id = job_id(&id)?;
    let job = desk.ledger.job(id).await?.ok_or_else(no_job)?;
    let attempts = desk.ledger.attempts(id).await?;
    Ok(Json(JobInFull::new(job, attempts)))
}

pub(crate) async fn queues(State(desk): State<Desk>) -> Result<Json<Queues>, Problem> {
    let now = Timestamp::now();
    let queues = desk.ledger.queues().await?;
    Ok(Json(Queues { queues: queues.iter().map(|view| Queue::new(view, now)).collect() }))
}

pub(crate) async fn runners(State(desk): State<Desk>) -> Result<Json<Runners>, Problem> {
    let runners = desk.ledger.runners().await?;
    Ok(Json(Runners { runners: runners.into_iter().map(Runner::from).collect() }))
}

pub(crate) async fn cancel_build(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<Build>, Problem> {
    let id = build_id(&id)?;
    desk.ledger.build(id).await?.ok_or_else(no_build)?;
    if !desk.ledger.cancel_build(id, "api").await? {
        return Err(Problem::conflict("the build has its verdict already"));
    }
    let build = desk.ledger.build(id).await?.ok_or_else(no_build)?;
    Ok(Json(build.into()))
}

pub(crate) async fn cancel_job(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<JobInFull>, Problem> {
    let id = job_id(&id)?;
    desk.ledger.job(id).await?.ok_or_else(no_job)?;
    if !desk.ledger.cancel_job(id, "api").await? {
        return Err(Problem::conflict("the job has its verdict already, or is being cancelled"));
    }
    job(State(desk), Path(id.to_string())).await
}

pub(crate) async fn retry_job(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<JobInFull>, Problem> {
    let id = job_id(&id)?;
    desk.ledger.job(id).await?.ok_or_else(no_job)?;
    let Some(new) = desk.ledger.retry_job(id, "api").await? else {
        return Err(Problem::conflict("the job has no verdict yet, or was run again already"));
    };
    job(State(desk), Path(new.to_string())).await
}

pub(crate) fn build_id(text: &str) -> Result<BuildId, Problem> {
    text.parse().map_err(|_| no_build())
}

pub(crate) fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| no_job())
}

pub(crate) fn no_build() -> Problem {
    Problem::not_found("there is no build with this id")
}

pub(crate) fn no_job() -> Problem {
    Problem::not_found("there is no job with this id")
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(crate) fn bad(cause: messages::InvalidName) -> Problem {
    Problem::bad_request(cause.to_string())
}
