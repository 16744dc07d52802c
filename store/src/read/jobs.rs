//! Jobs and their attempts.

use std::collections::HashMap;

use messages::{AttemptNumber, BuildId, JobId};
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::rows::{
    attempt_of, attempt_state_of, count, json, maybe_time, odd, parse, reason_of, state_of, texts, time, verdict_of,
};
use crate::sql::{lists, push_list};
use crate::sqlite::Db;
use crate::{AttemptView, JobView, Ledger, LedgerError, Policy, Skipped, State};

const SELECT: &str = "SELECT j.id, j.build, j.name, j.pool, j.state, j.cancelling, j.verdict, j.reason_kind, \
     j.reason_detail, j.attempt, a.runner, j.created_at, j.queued_at, a.started_at, j.finished_at, j.retry_of, j.spec, \
     j.blocked, j.filtered, j.policy \
     FROM jobs j LEFT JOIN attempts a ON a.job = j.id AND a.number = j.attempt WHERE ";

from_row! {
    struct Row {
        id: String,
        build: String,
        name: String,
        pool: String,
        state: String,
        cancelling: i16,
        verdict: Option<String>,
        reason_kind: Option<String>,
        reason_detail: Option<String>,
        attempt: i64,
        runner: Option<String>,
        created_at: i64,
        queued_at: Option<i64>,
        started_at: Option<i64>,
        finished_at: Option<i64>,
        retry_of: Option<String>,
        spec: String,
        blocked: i16,
        filtered: Option<String>,
        policy: String,
    }
}

impl Row {
    fn read(self) -> Result<JobView, LedgerError> {
        Ok(JobView {
            id: parse(&self.id)?,
            build: parse(&self.build)?,
            name: self.name,
            pool: parse(&self.pool)?,
            state: state_of(&self.state)?,
            waiting_for: Vec::new(),
            cancelling: self.cancelling != 0,
            verdict: verdict_of(self.verdict.as_deref())?,
            reason: reason_of(self.reason_kind.as_deref(), self.reason_detail)?,
            skipped: match self.filtered {
                Some(detail) => Some(Skipped::Filtered { detail }),
                None => (self.blocked != 0).then_some(Skipped::Needs),
            },
            allow_failure: json::<Policy>(&self.policy)?.allow_failure,
            attempt: attempt_of(self.attempt)?,
            runner: self.runner.as_deref().map(parse).transpose()?,
            created_at: time(self.created_at)?,
            queued_at: maybe_time(self.queued_at)?,
            started_at: maybe_time(self.started_at)?,
            finished_at: maybe_time(self.finished_at)?,
            retry_of: self.retry_of.as_deref().map(parse).transpose()?,
            spec: json(&self.spec)?,
            tests: None,
        })
    }
}

from_row! {
    struct AttemptRow {
        number: i64,
        runner: String,
        state: String,
        detail: String,
        cause: Option<String>,
        steps: String,
        started_at: i64,
        finished_at: Option<i64>,
        log_length: Option<i64>,
    }
}

impl Ledger {
    /// One job.
    pub async fn job(&self, id: JobId) -> Result<Option<JobView>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(SELECT);
        query.push("j.id = ").push_bind(id.to_string());
        let row = query.build_query_as::<Row>().fetch_optional(&self.readers).await?;
        let mut jobs: Vec<JobView> = row.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        self.name_needs(&mut jobs).await?;
        self.count_tests(&mut jobs).await?;
        Ok(jobs.pop())
    }

    /// Every attempt of a job, first first.
    pub async fn attempts(&self, job: JobId) -> Result<Vec<AttemptView>, LedgerError> {
        let rows: Vec<AttemptRow> = sqlx::query_as(
            "SELECT number, runner, state, detail, cause, steps, started_at, finished_at, log_length FROM attempts \
             WHERE job = $1 ORDER BY number",
        )
        .bind(job.to_string())
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(AttemptView {
                    number: attempt_of(row.number)?.ok_or_else(|| odd("an attempt with the number 0"))?,
                    runner: parse(&row.runner)?,
                    state: attempt_state_of(&row.state)?,
                    detail: row.detail,
                    cause: row.cause.as_deref().map(parse).transpose()?,
                    steps: json(&row.steps)?,
                    started_at: time(row.started_at)?,
                    finished_at: maybe_time(row.finished_at)?,
                    log_length: row.log_length.map(count).transpose()?,
                })
            })
            .collect()
    }

    /// The attempt whose log a reader wants when it names none: the current or last one.
    pub async fn last_attempt(&self, job: JobId) -> Result<Option<AttemptNumber>, LedgerError> {
        let number: Option<i64> = sqlx::query_scalar("SELECT attempt FROM jobs WHERE id = $1")
            .bind(job.to_string())
            .fetch_optional(&self.readers)
            .await?;
        attempt_of(number.unwrap_or(0))
    }

    /// The jobs of these builds, in the pipeline's order; a repeated job stands behind the one it repeats.
    pub(crate) async fn jobs_of(&self, builds: &[BuildId]) -> Result<HashMap<BuildId, Vec<JobView>>, LedgerError> {
        let mut jobs = Vec::new();
        for list in lists(builds) {
            let mut query = QueryBuilder::<Db>::new(SELECT);
            query.push("j.build IN ");
            push_list(&mut query, &texts(list));
            query.push(" ORDER BY j.position, j.order_number");
            for row in query.build_query_as::<Row>().fetch_all(&self.readers).await? {
                jobs.push(row.read()?);
            }
        }
        self.name_needs(&mut jobs).await?;
        self.count_tests(&mut jobs).await?;
        let mut by_build: HashMap<BuildId, Vec<JobView>> = HashMap::new();
        for job in jobs {
            by_build.entry(job.build).or_default().push(job);
        }
        Ok(by_build)
    }

    /// Says for what the waiting ones wait.
    async fn name_needs(&self, jobs: &mut [JobView]) -> Result<(), LedgerError> {
        let waiting: Vec<JobId> = jobs.iter().filter(|job| job.state == State::Waiting).map(|job| job.id).collect();
        let mut names: HashMap<String, Vec<String>> = HashMap::new();
        for list in lists(&waiting) {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT n.job, d.name FROM needs n JOIN jobs d ON d.id = n.needed WHERE d.state <> 'done' AND n.job IN ",
            );
            push_list(&mut query, &texts(list));
            query.push(" ORDER BY d.position");
            for (job, name) in query.build_query_as::<(String, String)>().fetch_all(&self.readers).await? {
                names.entry(job).or_default().push(name);
            }
        }
        for job in jobs.iter_mut().filter(|job| job.state == State::Waiting) {
            job.waiting_for = names.remove(&job.id.to_string()).unwrap_or_default();
        }
        Ok(())
    }
}
