//! Queues and runners as they stand.

use std::collections::{BTreeMap, HashMap};

use messages::{Birth, PoolName};

use crate::from_row::from_row;
use crate::rows::{attempt_of, count, maybe_time, odd, parse, time};
use crate::{HeldAttempt, Ledger, LedgerError, QueueView, RunnerState, RunnerView, clock};

/// A runner beats every 5 s; four missed beats are an end. In microseconds.
const GONE_AFTER: i64 = 20 * 1_000_000;
/// A runner that was not seen for so long is not listed. In microseconds.
const FORGOTTEN_AFTER: i64 = 24 * 3600 * 1_000_000;

from_row! {
    struct PoolRow {
        name: String,
        waiting: i64,
        queued: i64,
        running: i64,
        oldest_queued_at: Option<i64>,
    }
}

from_row! {
    struct RunnerRow {
        name: String,
        incarnation: String,
        folder: Option<String>,
        life_number: Option<i64>,
        pool: String,
        slots: i64,
        draining: i16,
        version: String,
        gone: i16,
        last_seen: i64,
        trouble: Option<String>,
    }
}

from_row! {
    struct HeldRow {
        runner: String,
        job: String,
        name: String,
        number: i64,
        started_at: i64,
    }
}

impl Ledger {
    /// Every pool that has runners or unfinished jobs.
    pub async fn queues(&self) -> Result<Vec<QueueView>, LedgerError> {
        let rows: Vec<PoolRow> = sqlx::query_as(
            "SELECT p.name, p.waiting, p.queued, p.running, \
             (SELECT min(o.queued_at) FROM outbox o WHERE o.pool = p.name) AS oldest_queued_at \
             FROM pools p WHERE p.waiting > 0 OR p.queued > 0 OR p.running > 0",
        )
        .fetch_all(&self.readers)
        .await?;
        let now = clock::now();
        let staffed: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT pool FROM runners WHERE gone = 0 AND last_seen > $1")
                .bind(now - GONE_AFTER)
                .fetch_all(&self.readers)
                .await?;
        let mut queues: BTreeMap<PoolName, QueueView> = BTreeMap::new();
        for pool in staffed {
            let pool: PoolName = parse(&pool)?;
            let empty = QueueView { pool: pool.clone(), waiting: 0, queued: 0, running: 0, oldest_queued_at: None };
            queues.insert(pool, empty);
        }
        for row in rows {
            let pool: PoolName = parse(&row.name)?;
            let queue = QueueView {
                pool: pool.clone(),
                waiting: count(row.waiting)?,
                queued: count(row.queued)?,
                running: count(row.running)?,
                oldest_queued_at: maybe_time(row.oldest_queued_at)?,
            };
            queues.insert(pool, queue);
        }
        Ok(queues.into_values().collect())
    }

    /// Every runner seen in the last day.
    pub async fn runners(&self) -> Result<Vec<RunnerView>, LedgerError> {
        let now = clock::now();
        let held: Vec<HeldRow> = sqlx::query_as(
            "SELECT a.runner, a.job, j.name, a.number, a.started_at FROM attempts a JOIN jobs j ON j.id = a.job \
             WHERE a.state = 'running' ORDER BY a.started_at",
        )
        .fetch_all(&self.readers)
        .await?;
        let mut attempts: HashMap<String, Vec<HeldAttempt>> = HashMap::new();
        for row in held {
            let attempt = HeldAttempt {
                job: parse(&row.job)?,
                job_name: row.name,
                attempt: attempt_of(row.number)?.ok_or_else(|| odd("an attempt with the number 0"))?,
                since: time(row.started_at)?,
            };
            attempts.entry(row.runner).or_default().push(attempt);
        }
        let rows: Vec<RunnerRow> = sqlx::query_as(
            "SELECT name, incarnation, folder, life_number, pool, slots, draining, version, gone, last_seen, trouble FROM runners \
             WHERE last_seen > $1 ORDER BY name",
        )
        .bind(now - FORGOTTEN_AFTER)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|row| {
                let attempts = attempts.remove(&row.name).unwrap_or_default();
                let state = if row.gone != 0 || row.last_seen < now - GONE_AFTER {
                    RunnerState::Gone
                } else if row.draining != 0 {
                    RunnerState::Draining
                } else if row.trouble.is_some() {
                    RunnerState::Quarantined
                } else if attempts.is_empty() {
                    RunnerState::Idle
                } else {
                    RunnerState::Busy
                };
                let birth = match (row.folder, row.life_number) {
                    (Some(folder), Some(number)) => Some(Birth { folder: parse(&folder)?, number: count(number)? }),
                    _ => None,
                };
                Ok(RunnerView {
                    name: parse(&row.name)?,
                    incarnation: parse(&row.incarnation)?,
                    birth,
                    pool: parse(&row.pool)?,
                    state,
                    trouble: row.trouble,
                    slots: u32::try_from(row.slots).map_err(odd)?,
                    version: row.version,
                    attempts,
                    last_seen: time(row.last_seen)?,
                })
            })
            .collect()
    }
}
