//! Jobs as a write sees them, and their steps from one state to the next.
//!
//! The only place that changes `jobs` and `outbox` after the intake. A step exists only as the answer of
//! [`lifecycle::next`], and an outbox row appears and vanishes with the state queued.

use std::collections::HashMap;

use messages::{AttemptNumber, BuildId, ErroredReason, JobId, PoolName, Verdict};
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::lifecycle::{self, IllegalEvent, JobEvent, JobState};
use crate::rows::{self, attempt_state_of, parse, shown, state_word};
use crate::sql::{lists, pieces, push_list};
use crate::sqlite::Db;
use crate::transaction::Tx;
use crate::{AttemptState, LedgerError, Policy};

/// A job with its current attempt.
#[derive(Debug, Clone)]
pub(crate) struct JobRow {
    pub(crate) id: JobId,
    pub(crate) build: BuildId,
    pub(crate) pool: PoolName,
    pub(crate) order: i64,
    pub(crate) state: JobState,
    /// The number of the current or last attempt, 0 before the first.
    pub(crate) attempt: AttemptNumber,
    pub(crate) counts: Counts,
    pub(crate) policy: Policy,
    pub(crate) dependants: bool,
    pub(crate) blocked: bool,
    pub(crate) exclusive: bool,
    /// The current or last attempt.
    pub(crate) holder: Option<Holder>,
}

/// What counts towards the caps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Attempts lost with their runner.
    pub(crate) lost: i64,
    /// Attempts that ended in an error worth retrying.
    pub(crate) errored: i64,
    /// Attempts that failed and were not the last.
    pub(crate) failed: i64,
    /// Attempts that timed out and were not the last.
    pub(crate) timed_out: i64,
    /// Attempts that did not decide the job, hand-backs excepted.
    pub(crate) rounds: i64,
}

/// An attempt's row, as far as a write needs it.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) number: AttemptNumber,
    pub(crate) token: String,
    pub(crate) runner: String,
    pub(crate) incarnation: String,
    pub(crate) state: AttemptState,
    pub(crate) started_at: i64,
}

/// A step of one job.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) job: JobRow,
    from: JobState,
    reason: Option<ErroredReason>,
    blocked: bool,
}

impl JobRow {
    /// Makes the step that `event` asks for. `reason` is kept only if the job ends errored.
    pub(crate) fn step(&mut self, event: &JobEvent, reason: Option<ErroredReason>) -> Result<Move, IllegalEvent> {
        let from = self.state;
        self.state = lifecycle::next(&from, event)?;
        if let JobState::Running { attempt, .. } = self.state {
            self.attempt = attempt;
        }
        let reason = reason.filter(|_| self.state == JobState::Done(Verdict::Errored));
        self.blocked = *event == JobEvent::NeedsFailed;
        Ok(Move { job: self.clone(), from, reason, blocked: self.blocked })
    }

    /// Whether a job that needs this one may start; `None` as long as that is open.
    pub(crate) fn ended_well(&self) -> Option<bool> {
        match self.state {
            JobState::Done(verdict) => {
                Some((verdict.is_good() && !self.blocked) || (self.policy.allow_failure && may_be_allowed(verdict)))
            }
            _ => None,
        }
    }
}

/// Whether a pipeline may allow this end. Not a cancelled one: that was a person, and not the code.
pub(crate) fn may_be_allowed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Failed | Verdict::TimedOut | Verdict::Errored)
}

from_row! {
    struct Row {
        id: String,
        build: String,
        pool: String,
        order_number: i64,
        state: String,
        cancelling: i16,
        verdict: Option<String>,
        attempt: i64,
        lost: i64,
        errored: i64,
        failed: i64,
        timed_out: i64,
        rounds: i64,
        policy: String,
        dependants: i16,
        blocked: i16,
        exclusive: i16,
        token: Option<String>,
        runner: Option<String>,
        incarnation: Option<String>,
        attempt_state: Option<String>,
        started_at: Option<i64>,
    }
}

impl Row {
    fn read(self) -> Result<JobRow, LedgerError> {
        let attempt = AttemptNumber(u32::try_from(self.attempt).map_err(rows::odd)?);
        let holder = match (self.token, self.runner, self.incarnation, self.attempt_state, self.started_at) {
            (Some(token), Some(runner), Some(incarnation), Some(state), Some(started_at)) => {
                let state = attempt_state_of(&state)?;
                Some(Holder { number: attempt, token, runner, incarnation, state, started_at })
            }
            _ => None,
        };
        Ok(JobRow {
            id: parse(&self.id)?,
            build: parse(&self.build)?,
            pool: parse(&self.pool)?,
            order: self.order_number,
            state: rows::job_state(&self.state, self.verdict.as_deref(), self.attempt, self.cancelling)?,
            attempt,
            counts: Counts {
                lost: self.lost,
                errored: self.errored,
                failed: self.failed,
                timed_out: self.timed_out,
                rounds: self.rounds,
            },
            policy: rows::json(&self.policy)?,
            dependants: self.dependants != 0,
            blocked: self.blocked != 0,
            exclusive: self.exclusive != 0,
            holder,
        })
    }
}

const SELECT: &str = "SELECT j.id, j.build, j.pool, j.order_number, j.state, j.cancelling, j.verdict, j.attempt, \
     j.lost, j.errored, j.failed, j.timed_out, j.rounds, j.policy, j.dependants, j.blocked, j.exclusive, a.token, a.runner, \
     a.incarnation, \
     a.state AS attempt_state, a.started_at \
     FROM jobs j LEFT JOIN attempts a ON a.job = j.id AND a.number = j.attempt WHERE ";

/// Reads these jobs. One whose row makes no sense is left out with a line in the log: it must not
/// spoil the others.
pub(crate) async fn load(tx: &mut Tx, ids: &[JobId]) -> Result<HashMap<JobId, JobRow>, LedgerError> {
    let mut jobs = HashMap::new();
    for list in lists(ids) {
        let mut query = QueryBuilder::<Db>::new(SELECT);
        query.push("j.id IN ");
        push_list(&mut query, &rows::texts(list));
        for row in query.build_query_as::<Row>().fetch_all(&mut tx.conn).await? {
            let id = row.id.clone();
            match row.read() {
                Ok(job) => {
                    jobs.insert(job.id, job);
                }
                Err(cause) => tracing::error!(job = id, %cause, "job left alone"),
            }
        }
    }
    Ok(jobs)
}

/// Reads one job.
pub(crate) async fn load_one(tx: &mut Tx, id: JobId) -> Result<Option<JobRow>, LedgerError> {
    Ok(load(tx, &[id]).await?.remove(&id))
}

/// Reads every job of a build that is not done.
pub(crate) async fn load_open(tx: &mut Tx, build: BuildId) -> Result<Vec<JobRow>, LedgerError> {
    let mut query = QueryBuilder::<Db>::new(SELECT);
    query.push("j.state <> 'done' AND j.build = ").push_bind(build.to_string());
    query.build_query_as::<Row>().fetch_all(&mut tx.conn).await?.into_iter().map(Row::read).collect()
}

/// Everything that the jobs of one statement have in common.
#[derive(PartialEq, Eq)]
struct Common {
    state: JobState,
    reason: Option<ErroredReason>,
    blocked: bool,
    counts: Counts,
}

/// Saves these steps.
pub(crate) async fn save(tx: &mut Tx, moves: &[Move]) -> Result<(), LedgerError> {
    let mut groups: Vec<(Common, Vec<String>)> = Vec::new();
    for step in moves {
        let job = &step.job;
        tx.touched.moved(job.build, job.id, &job.pool, Some(step.from), job.state);
        let common =
            Common { state: job.state, reason: step.reason.clone(), blocked: step.blocked, counts: job.counts };
        match groups.iter_mut().find(|(other, _)| *other == common) {
            Some((_, same)) => same.push(job.id.to_string()),
            None => groups.push((common, vec![job.id.to_string()])),
        }
    }
    for (common, same) in groups {
        for list in lists(&same) {
            update(tx, &common, list).await?;
        }
    }
    let left: Vec<String> = moves
        .iter()
        .filter(|step| step.from == JobState::Queued && step.job.state != JobState::Queued)
        .map(|step| step.job.id.to_string())
        .collect();
    for list in lists(&left) {
        let mut query = QueryBuilder::<Db>::new("DELETE FROM outbox WHERE job IN ");
        push_list(&mut query, list);
        query.build().execute(&mut tx.conn).await?;
    }
    let entered: Vec<(String, String, i64)> = moves
        .iter()
        .filter(|step| step.job.state == JobState::Queued)
        .map(|step| (step.job.id.to_string(), step.job.pool.to_string(), step.job.order))
        .collect();
    enter_outbox(tx, &entered).await
}

async fn update(tx: &mut Tx, common: &Common, ids: &[String]) -> Result<(), LedgerError> {
    let verdict = match common.state {
        JobState::Done(verdict) => Some(verdict.as_str()),
        _ => None,
    };
    let mut query = QueryBuilder::<Db>::new("UPDATE jobs SET state = ");
    query.push_bind(state_word(shown(common.state)));
    query.push(", cancelling = ").push_bind(match common.state {
        JobState::Running { cancelling, .. } => i16::from(cancelling),
        _ => 0,
    });
    if let JobState::Running { attempt, .. } = common.state {
        query.push(", attempt = ").push_bind(i64::from(attempt.0));
    }
    query.push(", verdict = ").push_bind(verdict);
    query.push(", reason_kind = ").push_bind(common.reason.as_ref().map(|reason| reason.kind.as_str()));
    query.push(", reason_detail = ").push_bind(common.reason.as_ref().map(|reason| reason.detail.clone()));
    query.push(", blocked = ").push_bind(i16::from(common.blocked));
    query.push(", lost = ").push_bind(common.counts.lost);
    query.push(", errored = ").push_bind(common.counts.errored);
    query.push(", failed = ").push_bind(common.counts.failed);
    query.push(", timed_out = ").push_bind(common.counts.timed_out);
    query.push(", rounds = ").push_bind(common.counts.rounds);
    let queued_at = (common.state == JobState::Queued).then_some(tx.now);
    query.push(", queued_at = coalesce(queued_at, ").push_bind(queued_at).push(")");
    query.push(", finished_at = ").push_bind(verdict.map(|_| tx.now));
    query.push(" WHERE id IN ");
    push_list(&mut query, ids);
    query.build().execute(&mut tx.conn).await?;
    Ok(())
}

/// Makes outbox rows for jobs that are queued now: id, pool, place in the order.
pub(crate) async fn enter_outbox(tx: &mut Tx, jobs: &[(String, String, i64)]) -> Result<(), LedgerError> {
    for piece in pieces(jobs) {
        let mut query =
            QueryBuilder::<Db>::new("INSERT INTO outbox (job, pool, order_number, queued_at, publications) ");
        query.push_values(piece, |mut row, (job, pool, order)| {
            row.push_bind(job.clone()).push_bind(pool.clone()).push_bind(*order).push_bind(tx.now).push_bind(0_i64);
        });
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}
