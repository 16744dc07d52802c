//! Inserts of builds, jobs and needs, many rows to a statement.

use messages::{CommitSeen, ErroredReason, Verdict};
use sqlx::QueryBuilder;

use crate::LedgerError;
use crate::sql::pieces;
use crate::sqlite::Db;
use crate::transaction::Tx;

/// A new row of `builds`.
pub(crate) struct BuildRow {
    pub(crate) id: String,
    pub(crate) order: i64,
    pub(crate) key: String,
    pub(crate) number: i64,
    pub(crate) seen: CommitSeen,
    pub(crate) parents: String,
    pub(crate) skipped_before: i64,
    pub(crate) state: &'static str,
    pub(crate) verdict: Option<&'static str>,
    pub(crate) reason: Option<ErroredReason>,
    pub(crate) finished_at: Option<i64>,
}

/// A new row of `jobs`.
pub(crate) struct JobRow {
    pub(crate) id: String,
    pub(crate) build: String,
    pub(crate) order: i64,
    pub(crate) position: i64,
    pub(crate) name: String,
    pub(crate) pool: String,
    pub(crate) state: &'static str,
    /// Why it is skipped at birth.
    pub(crate) filtered: Option<String>,
    pub(crate) dependants: bool,
    pub(crate) policy: String,
    pub(crate) spec: String,
    pub(crate) exclusive: bool,
    pub(crate) retry_of: Option<String>,
    pub(crate) queued_at: Option<i64>,
}

/// Inserts builds.
pub(crate) async fn put_builds(tx: &mut Tx, builds: &[BuildRow]) -> Result<(), LedgerError> {
    for piece in pieces(builds) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO builds (id, order_number, intake_key, repository, number, url, ref_name, commit_id, tree_id, \
             parents, subject, author_name, author_email, committed_at, skipped_before, state, verdict, reason_kind, \
             reason_detail, created_at, finished_at) ",
        );
        query.push_values(piece, |mut row, build| {
            let seen = &build.seen;
            row.push_bind(build.id.clone())
                .push_bind(build.order)
                .push_bind(build.key.clone())
                .push_bind(seen.repository.name.as_str().to_owned())
                .push_bind(build.number)
                .push_bind(seen.repository.url.clone())
                .push_bind(seen.ref_name.as_str().to_owned())
                .push_bind(seen.commit.as_str().to_owned())
                .push_bind(seen.tree.as_str().to_owned())
                .push_bind(build.parents.clone())
                .push_bind(seen.subject.clone())
                .push_bind(seen.author.name.clone())
                .push_bind(seen.author.email.clone())
                .push_bind(seen.committed_at.as_microsecond())
                .push_bind(build.skipped_before)
                .push_bind(build.state)
                .push_bind(build.verdict)
                .push_bind(build.reason.as_ref().map(|reason| reason.kind.as_str()))
                .push_bind(build.reason.as_ref().map(|reason| reason.detail.clone()))
                .push_bind(tx.now)
                .push_bind(build.finished_at);
        });
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}

/// Inserts jobs that no attempt has touched.
pub(crate) async fn put_jobs(tx: &mut Tx, jobs: &[JobRow]) -> Result<(), LedgerError> {
    for piece in pieces(jobs) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO jobs (id, build, order_number, position, name, pool, state, cancelling, blocked, superseded, \
             dependants, spec, attempt, lost, errored, rounds, exclusive, retry_of, created_at, queued_at, \
             verdict, finished_at, filtered, policy) ",
        );
        query.push_values(piece, |mut row, job| {
            let skipped = job.filtered.as_ref().map(|_| Verdict::Skipped.as_str());
            row.push_bind(job.id.clone())
                .push_bind(job.build.clone())
                .push_bind(job.order)
                .push_bind(job.position)
                .push_bind(job.name.clone())
                .push_bind(job.pool.clone())
                .push_bind(job.state)
                .push("0, 0, 0")
                .push_bind(i16::from(job.dependants))
                .push_bind(job.spec.clone())
                .push("0, 0, 0, 0")
                .push_bind(i16::from(job.exclusive))
                .push_bind(job.retry_of.clone())
                .push_bind(tx.now)
                .push_bind(job.queued_at)
                .push_bind(skipped)
                .push_bind(skipped.map(|_| tx.now))
                .push_bind(job.filtered.clone())
                .push_bind(job.policy.clone());
        });
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}

/// Inserts pairs (job, needed); a pair named twice is one.
pub(crate) async fn put_needs(tx: &mut Tx, needs: &[(String, String)]) -> Result<(), LedgerError> {
    for piece in pieces(needs) {
        let mut query = QueryBuilder::<Db>::new("INSERT INTO needs (job, needed) ");
        query.push_values(piece, |mut row, (job, needed)| {
            row.push_bind(job.clone()).push_bind(needed.clone());
        });
        query.push(" ON CONFLICT DO NOTHING");
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}
