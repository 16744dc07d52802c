//! `/api/v1/dead`: the list, one entry, and the two orders about one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use messages::JobId;
use serde::Deserialize;
use store::parking::{NoLetter, NotParked};

use super::evidence;
use super::json::{Job, JobInFull, List};
use super::letters_json::{Letter, LetterInFull};
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
    Letter(i64),
}

pub(super) fn id_of(text: &str) -> Result<Id, Problem> {
    match text.parse::<i64>() {
        Ok(number) => Ok(Id::Letter(number)),
        Err(_) => text.parse().map(Id::Job).map_err(|_| unknown()),
    }
}

pub(super) fn unknown() -> Problem {
    Problem::not_found("nothing with this id is parked; `thump dead` lists what is")
}

pub(crate) async fn list(State(desk): State<Desk>, Asked(query): Asked<ListQuery>) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST);
    // An id is of one kind, so what stands behind it is of that kind only.
    let before = query.before.as_deref().map(id_of).transpose()?;
    let (jobs, letters) = match before {
        None => (desk.ledger.parked_jobs(None, limit).await?, desk.ledger.dead_letters(None, limit).await?),
        Some(Id::Job(id)) => (desk.ledger.parked_jobs(Some(id), limit).await?, Vec::new()),
        Some(Id::Letter(number)) => (Vec::new(), desk.ledger.dead_letters(Some(number), limit).await?),
    };
    let list = List {
        jobs: jobs.into_iter().map(Job::from).collect(),
        letters: letters.into_iter().map(Letter::from).collect(),
        letters_dropped: desk.ledger.dead_letters_dropped().await?,
    };
    Ok(Json(list).into_response())
}

pub(crate) async fn entry(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Response, Problem> {
    match id_of(&id)? {
        Id::Job(id) => Ok(Json(job_in_full(&desk, id).await?).into_response()),
        Id::Letter(number) => {
            let letter = desk.ledger.dead_letter(number).await?.ok_or_else(unknown)?;
            let orders = desk.ledger.orders_about(&number.to_string()).await?;
            Ok(Json(LetterInFull::new(letter, orders)).into_response())
        }
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
        Id::Letter(number) => desk.ledger.replay_letter(number, &who).await?.map_err(no_letter)?,
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
        Id::Letter(number) => desk.ledger.discard_letter(number, &who).await?.map_err(no_letter)?,
    }
    entry(State(desk), Path(id)).await
}

fn refusal(cause: NotParked) -> Problem {
    match cause {
        NotParked::Unknown => unknown(),
        cause => Problem::conflict(cause.to_string()),
    }
}

fn no_letter(cause: NoLetter) -> Problem {
    match cause {
        NoLetter::Unknown => unknown(),
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
