//! `/api/v1/dead`: the list, one entry, and the two orders about one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use messages::JobId;
use serde::Deserialize;
use store::parking::NotParked;

use super::evidence;
use super::json::{Job, JobInFull, List};
use crate::Desk;
use crate::asked::Asked;
use crate::error::Problem;

const DEFAULT_LIMIT: u32 = 50;
const MOST: u32 = 200;
/// The longest name of a person that is kept.
const LONGEST_WHO: usize = 100;

/// What `/api/v1/dead` may be asked.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    before: Option<String>,
    limit: Option<u32>,
}

/// Who gives an order, by their own word: there is no login.
#[derive(Default, Deserialize)]
struct Order {
    who: Option<String>,
}

/// What an id names.
pub(super) enum Id {
    Job(JobId),
}

pub(super) fn id_of(text: &str) -> Result<Id, Problem> {
    text.parse().map(Id::Job).map_err(|_| unknown())
}

fn unknown() -> Problem {
    Problem::not_found("nothing with this id is parked; `thump dead` lists what is")
}

pub(crate) async fn list(State(desk): State<Desk>, Asked(query): Asked<ListQuery>) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST);
    let jobs_before = query.before.as_deref().map(id_of).transpose()?.map(|Id::Job(id)| id);
    let jobs = desk.ledger.parked_jobs(jobs_before, limit).await?;
    Ok(Json(List { jobs: jobs.into_iter().map(Job::from).collect() }).into_response())
}

pub(crate) async fn entry(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Response, Problem> {
    match id_of(&id)? {
        Id::Job(id) => Ok(Json(job_in_full(&desk, id).await?).into_response()),
    }
}

async fn job_in_full(desk: &Desk, id: JobId) -> Result<JobInFull, Problem> {
    let parked = desk.ledger.parked_job(id).await?.ok_or_else(unknown)?;
    let attempts = desk.ledger.attempts(id).await?;
    let evidence = evidence::gather(desk.ledger.logs(), id, attempts).await?;
    Ok(JobInFull::new(parked, evidence, desk.ledger.orders_about(&id.to_string()).await?))
}

pub(crate) async fn replay(State(desk): State<Desk>, Path(id): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let who = who(&body)?;
    match id_of(&id)? {
        Id::Job(job) => {
            desk.ledger.replay_job(job, &who).await?.map_err(refusal)?;
        }
    }
    entry(State(desk), Path(id)).await
}

pub(crate) async fn discard(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let who = who(&body)?;
    match id_of(&id)? {
        Id::Job(job) => desk.ledger.discard_job(job, &who).await?.map_err(refusal)?,
    }
    entry(State(desk), Path(id)).await
}

fn refusal(cause: NotParked) -> Problem {
    match cause {
        NotParked::Unknown => unknown(),
        cause => Problem::conflict(cause.to_string()),
    }
}

/// An empty body is an order of somebody unnamed.
fn who(body: &Bytes) -> Result<String, Problem> {
    let order = if body.is_empty() { Ok(Order::default()) } else { serde_json::from_slice::<Order>(body) };
    let order = order.map_err(|cause| Problem::bad_request(format!("the order cannot be read: {cause}")))?;
    let who: String = order.who.unwrap_or_default().trim().chars().take(LONGEST_WHO).collect();
    Ok(if who.is_empty() { "api".to_owned() } else { who })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_orders_is_their_own_word_or_nobodys() {
        let told = |body: &'static str| who(&Bytes::from_static(body.as_bytes())).ok();
        assert_eq!(told(""), Some("api".into()));
        assert_eq!(told("{}"), Some("api".into()));
        assert_eq!(told(r#"{"who": " ada "}"#), Some("ada".into()));
        assert_eq!(told("[]{"), None);
    }
}
