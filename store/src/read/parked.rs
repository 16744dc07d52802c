//! The parking lot: errored jobs, newest first, and what people asked for.

use messages::JobId;
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::parking::{CapCounts, OrderView, ParkedJob, Standing, most_errored};
use crate::rows::{count, json, odd, parse, time};
use crate::sqlite::Db;
use crate::{Ledger, LedgerError};

/// The longest page.
const LONGEST_PAGE: u32 = 200;

const SELECT: &str = "SELECT j.id, j.superseded, j.discarded, j.lost, j.errored, j.rounds, j.policy, j.finished_at, b.number, \
     b.repository, b.ref_name, b.commit_id, b.subject, \
     (SELECT r.id FROM jobs r WHERE r.build = j.build AND r.retry_of = j.id) AS again \
     FROM jobs j JOIN builds b ON b.id = j.build WHERE j.verdict = 'errored' AND ";

from_row! {
    struct Row {
        id: String,
        superseded: i16,
        discarded: i16,
        lost: i64,
        errored: i64,
        rounds: i64,
        policy: String,
        finished_at: Option<i64>,
        number: i64,
        repository: String,
        ref_name: String,
        commit_id: String,
        subject: String,
        again: Option<String>,
    }
}

impl Ledger {
    /// Jobs that are parked, the newest first, at most `limit` (up to 200); with `before` only those
    /// that were parked before that one.
    pub async fn parked_jobs(&self, before: Option<JobId>, limit: u32) -> Result<Vec<ParkedJob>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(SELECT);
        query.push("j.superseded = 0 AND j.discarded = 0");
        if let Some(before) = before.map(|id| id.to_string()) {
            let finished_at: Option<Option<i64>> = sqlx::query_scalar("SELECT finished_at FROM jobs WHERE id = $1")
                .bind(&before)
                .fetch_optional(&self.readers)
                .await?;
            let Some(Some(finished_at)) = finished_at else { return Ok(Vec::new()) };
            query.push(" AND (j.finished_at, j.id) < (").push_bind(finished_at);
            query.push(", ").push_bind(before).push(")");
        }
        query.push(" ORDER BY j.finished_at DESC, j.id DESC LIMIT ");
        query.push_bind(i64::from(limit.clamp(1, LONGEST_PAGE)));
        let mut parked = Vec::new();
        for row in query.build_query_as::<Row>().fetch_all(&self.readers).await? {
            parked.extend(self.with_job(row).await?);
        }
        Ok(parked)
    }

    /// One job that ended errored, also one that was run again or discarded since.
    pub async fn parked_job(&self, id: JobId) -> Result<Option<ParkedJob>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(SELECT);
        query.push("j.id = ").push_bind(id.to_string());
        match query.build_query_as::<Row>().fetch_optional(&self.readers).await? {
            Some(row) => self.with_job(row).await,
            None => Ok(None),
        }
    }

    /// What people asked for about this job, build or letter, the first order first.
    pub async fn orders_about(&self, target: &str) -> Result<Vec<OrderView>, LedgerError> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT at, who, action FROM orders WHERE target = $1 ORDER BY at, id")
                .bind(target.to_owned())
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter().map(|(at, who, action)| Ok(OrderView { at: time(at)?, who, action })).collect()
    }

    async fn with_job(&self, row: Row) -> Result<Option<ParkedJob>, LedgerError> {
        let Some(job) = self.job(parse(&row.id)?).await? else { return Ok(None) };
        let standing = match (row.superseded, row.again, row.discarded) {
            (0, _, 0) => Standing::Parked,
            (0, _, _) => Standing::Discarded,
            (_, Some(again), _) => Standing::RunAgain(parse(&again)?),
            (_, None, _) => return Err(odd(format_args!("job {} was run again as no job", row.id))),
        };
        Ok(Some(ParkedJob {
            job,
            build_number: count(row.number)?,
            repository: parse(&row.repository)?,
            ref_name: parse(&row.ref_name)?,
            commit: parse(&row.commit_id)?,
            subject: row.subject,
            parked_at: time(row.finished_at.ok_or_else(|| odd("a done job without an end"))?)?,
            standing,
            counts: CapCounts {
                lost: count(row.lost)?,
                errored: count(row.errored)?,
                most_errored: count(most_errored(&json(&row.policy)?))?,
                rounds: count(row.rounds)?,
            },
        }))
    }
}
