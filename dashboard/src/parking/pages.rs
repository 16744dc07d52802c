//! The parking lot as pages: a list, and one entry with its evidence.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use store::parking::{EndCause, OrderView, ParkedJob, Standing};

use super::api::{Id, id_of, unknown};
use super::evidence::{self, Evidence};
use super::letter_pages::{self, LetterRow};
use crate::Desk;
use crate::error::Problem;
use crate::pages::{Badge, Frame, attempt_badge, frame, page};
use crate::shown::shown;

/// How many of each kind the page lists; the command walks the rest.
const SHOWN: u32 = 100;

#[derive(Template)]
#[template(path = "dead.html")]
struct ListPage {
    frame: Frame,
    jobs: Vec<JobRow>,
    /// The last one that is shown, if it is not the last one there is.
    more_jobs: Option<String>,
    letters: Vec<LetterRow>,
    more_letters: Option<i64>,
    dropped: u64,
}

#[derive(Template)]
#[template(path = "dead_job.html")]
struct JobPage {
    frame: Frame,
    job: JobRow,
    attempts: Vec<AttemptRow>,
    orders: Vec<OrderRow>,
}

struct JobRow {
    id: String,
    name: String,
    repository: String,
    build: String,
    build_number: u64,
    ref_name: String,
    short_commit: String,
    subject: String,
    /// The first line of the reason, and all of it.
    headline: String,
    reason: String,
    attempts: String,
    parked_at: String,
    standing: Badge,
    run_again_as: Option<String>,
    counts: String,
}

struct AttemptRow {
    number: u32,
    runner: String,
    state: Badge,
    detail: String,
    counted: String,
    started_at: String,
    finished_at: String,
    last_lines: String,
}

pub(super) struct OrderRow {
    pub(super) at: String,
    pub(super) who: String,
    pub(super) action: String,
}

pub(crate) async fn list(State(desk): State<Desk>) -> Result<Response, Problem> {
    let mut jobs: Vec<JobRow> = desk.ledger.parked_jobs(None, SHOWN + 1).await?.into_iter().map(JobRow::from).collect();
    let more = jobs.len() > SHOWN as usize;
    jobs.truncate(SHOWN as usize);
    let more_jobs = jobs.last().filter(|_| more).map(|job| job.id.clone());
    let mut letters: Vec<LetterRow> =
        desk.ledger.dead_letters(None, SHOWN + 1).await?.into_iter().map(LetterRow::from).collect();
    let more = letters.len() > SHOWN as usize;
    letters.truncate(SHOWN as usize);
    let more_letters = letters.last().filter(|_| more).map(|letter| letter.number);
    let dropped = desk.ledger.dead_letters_dropped().await?;
    page(&ListPage { frame: frame(&desk).await, jobs, more_jobs, letters, more_letters, dropped })
}

pub(crate) async fn entry(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = match id_of(&id)? {
        Id::Job(id) => id,
        Id::Letter(number) => return letter_pages::entry(&desk, number).await,
    };
    let parked = desk.ledger.parked_job(id).await?.ok_or_else(unknown)?;
    let attempts = desk.ledger.attempts(id).await?;
    let evidence = evidence::gather(desk.ledger.logs(), id, attempts).await?;
    let orders = desk.ledger.orders_about(&id.to_string()).await?;
    page(&JobPage {
        frame: frame(&desk).await,
        job: parked.into(),
        attempts: evidence.into_iter().map(AttemptRow::from).collect(),
        orders: orders.into_iter().map(OrderRow::from).collect(),
    })
}

impl From<ParkedJob> for JobRow {
    fn from(parked: ParkedJob) -> Self {
        let ParkedJob { job, counts, .. } = parked;
        let (word, shape, class) = match parked.standing {
            Standing::Parked => ("parked", "▲", "errored"),
            Standing::RunAgain(_) => ("run again", "↻", "quiet"),
            Standing::Discarded => ("discarded", "⊘", "quiet"),
        };
        let reason = job.reason.map_or_else(|| "errored".to_owned(), |reason| shown(&reason.detail));
        Self {
            id: job.id.to_string(),
            name: shown(&job.name),
            repository: parked.repository.to_string(),
            build: job.build.to_string(),
            build_number: parked.build_number,
            ref_name: shown(parked.ref_name.short()),
            short_commit: parked.commit.short().to_owned(),
            subject: shown(&parked.subject),
            headline: reason.lines().next().unwrap_or_default().to_owned(),
            reason,
            attempts: job.attempt.map_or_else(|| "0".to_owned(), |number| number.to_string()),
            parked_at: parked.parked_at.to_string(),
            standing: Badge { word, shape, class },
            run_again_as: match parked.standing {
                Standing::RunAgain(again) => Some(again.to_string()),
                Standing::Parked | Standing::Discarded => None,
            },
            counts: format!(
                "{} lost with their runner, {} ended in an error of ours, {} brought no verdict",
                counts.lost, counts.errored, counts.rounds
            ),
        }
    }
}

impl From<Evidence> for AttemptRow {
    fn from(evidence: Evidence) -> Self {
        let Evidence { attempt, log_bytes, last_lines } = evidence;
        let counted = attempt.cause.map(EndCause::counts_towards).unwrap_or_default().join("; ");
        Self {
            number: attempt.number.0,
            runner: attempt.runner.to_string(),
            state: attempt_badge(attempt.state),
            detail: shown(&attempt.detail),
            counted: if counted.is_empty() { "nothing".to_owned() } else { counted },
            started_at: attempt.started_at.to_string(),
            finished_at: attempt.finished_at.map_or_else(String::new, |at| at.to_string()),
            last_lines: if log_bytes == 0 { "(no log is here)".to_owned() } else { last_lines.join("\n") },
        }
    }
}

impl From<OrderView> for OrderRow {
    fn from(order: OrderView) -> Self {
        Self { at: order.at.to_string(), who: shown(&order.who), action: order.action.replace('_', " ") }
    }
}
