//! What the dispatcher asks: jobs to publish, jobs that lie in queues, attempts that run.

use messages::{Job, PoolName, RepositorySource};

use crate::from_row::from_row;
use crate::rows::{attempt_of, count, json, odd, parse, time};
use crate::{Ledger, LedgerError, Published, Running, Unpublished};

from_row! {
    struct UnpublishedRow {
        id: String,
        build: String,
        number: i64,
        repository: String,
        url: String,
        ref_name: String,
        commit_id: String,
        name: String,
        pool: String,
        spec: String,
        queued_at: i64,
    }
}

impl UnpublishedRow {
    fn read(self) -> Result<Unpublished, LedgerError> {
        let job = Job {
            id: parse(&self.id)?,
            build: parse(&self.build)?,
            build_number: count(self.number)?,
            repository: RepositorySource { name: parse(&self.repository)?, url: self.url },
            ref_name: parse(&self.ref_name)?,
            commit: parse(&self.commit_id)?,
            name: self.name,
            pool: parse(&self.pool)?,
            spec: json(&self.spec)?,
        };
        Ok(Unpublished { job, queued_at: time(self.queued_at)? })
    }
}

from_row! {
    struct PublishedRow {
        job: String,
        pool: String,
        published_at: i64,
        publications: i64,
    }
}

from_row! {
    struct RunningRow {
        job: String,
        number: i64,
        token: String,
        runner: String,
        incarnation: String,
        pool: String,
        cancelling: i16,
        exclusive: i16,
    }
}

impl Ledger {
    /// The oldest queued jobs of `pool` that are not published, in scheduling order. A job that was
    /// queued again keeps its place.
    pub async fn unpublished(&self, pool: &PoolName, limit: u32) -> Result<Vec<Unpublished>, LedgerError> {
        let rows: Vec<UnpublishedRow> = sqlx::query_as(
            "SELECT j.id, j.build, b.number, b.repository, b.url, b.ref_name, b.commit_id, j.name, j.pool, j.spec, \
             o.queued_at FROM outbox o JOIN jobs j ON j.id = o.job JOIN builds b ON b.id = j.build \
             WHERE o.pool = $1 AND o.published_at IS NULL ORDER BY o.order_number LIMIT $2",
        )
        .bind(pool.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(UnpublishedRow::read).collect()
    }

    /// Every pool that has a job which is not done.
    pub async fn pools_with_work(&self) -> Result<Vec<PoolName>, LedgerError> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pools WHERE waiting > 0 OR queued > 0 OR running > 0 ORDER BY name")
                .fetch_all(&self.readers)
                .await?;
        names.iter().map(|name| parse(name)).collect()
    }

    /// Published, queued jobs that no attempt holds.
    pub async fn published(&self) -> Result<Vec<Published>, LedgerError> {
        let rows: Vec<PublishedRow> = sqlx::query_as(
            "SELECT job, pool, published_at, publications FROM outbox WHERE published_at IS NOT NULL \
             ORDER BY published_at",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Published {
                    job: parse(&row.job)?,
                    pool: parse(&row.pool)?,
                    published_at: time(row.published_at)?,
                    publications: u32::try_from(row.publications).map_err(odd)?,
                })
            })
            .collect()
    }

    /// Every attempt that runs.
    pub async fn running(&self) -> Result<Vec<Running>, LedgerError> {
        let rows: Vec<RunningRow> = sqlx::query_as(
            "SELECT a.job, a.number, a.token, a.runner, a.incarnation, j.pool, j.cancelling, j.exclusive \
             FROM attempts a JOIN jobs j ON j.id = a.job WHERE a.state = 'running' ORDER BY a.started_at",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Running {
                    job: parse(&row.job)?,
                    attempt: attempt_of(row.number)?.ok_or_else(|| odd("an attempt with the number 0"))?,
                    token: parse(&row.token)?,
                    runner: parse(&row.runner)?,
                    incarnation: parse(&row.incarnation)?,
                    pool: parse(&row.pool)?,
                    cancelling: row.cancelling != 0,
                    exclusive: row.exclusive != 0,
                })
            })
            .collect()
    }
}
