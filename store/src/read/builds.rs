//! Builds, newest first, with their jobs.

use messages::{BuildId, RefName};
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::rows::{count, maybe_time, parse, reason_of, state_of, time, verdict_of};
use crate::sqlite::Db;
use crate::{BuildFilter, BuildView, Ledger, LedgerError};

/// The longest page.
const LONGEST_PAGE: u32 = 200;
/// Fewer digits of a commit would match half of history.
const FEWEST_DIGITS: usize = 4;

const SELECT: &str = "SELECT id, order_number, number, repository, url, ref_name, commit_id, subject, author_name, \
     state, verdict, reason_kind, reason_detail, skipped_before, created_at, started_at, finished_at FROM builds";

from_row! {
    struct Row {
        id: String,
        order_number: i64,
        number: i64,
        repository: String,
        url: String,
        ref_name: String,
        commit_id: String,
        subject: String,
        author_name: String,
        state: String,
        verdict: Option<String>,
        reason_kind: Option<String>,
        reason_detail: Option<String>,
        skipped_before: i64,
        created_at: i64,
        started_at: Option<i64>,
        finished_at: Option<i64>,
    }
}

impl Row {
    fn read(self) -> Result<BuildView, LedgerError> {
        Ok(BuildView {
            id: parse(&self.id)?,
            number: count(self.number)?,
            repository: parse(&self.repository)?,
            url: self.url,
            ref_name: parse(&self.ref_name)?,
            commit: parse(&self.commit_id)?,
            subject: self.subject,
            author: self.author_name,
            state: state_of(&self.state)?,
            verdict: verdict_of(self.verdict.as_deref())?,
            reason: reason_of(self.reason_kind.as_deref(), self.reason_detail)?,
            skipped_before: count(self.skipped_before)?,
            created_at: time(self.created_at)?,
            started_at: maybe_time(self.started_at)?,
            finished_at: maybe_time(self.finished_at)?,
            jobs: Vec::new(),
        })
    }
}

impl Ledger {
    /// Builds, newest first. A `commit` of fewer than 4 digits, or one that is no hexadecimal number,
    /// matches nothing.
    pub async fn builds(&self, filter: BuildFilter) -> Result<Vec<BuildView>, LedgerError> {
        let before = match filter.before {
            None => None,
            Some(id) => match self.order_of(id).await? {
                None => return Ok(Vec::new()),
                order => order,
            },
        };
        let commit = match filter.commit.as_deref().map(str::to_ascii_lowercase) {
            Some(digits) if digits.len() < FEWEST_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                return Ok(Vec::new());
            }
            commit => commit,
        };
        let limit = filter.limit.clamp(1, LONGEST_PAGE);
        // A commit is found by its own index: an expression hides the other columns from theirs, which
        // would be walked to the end for a commit that is rare or not there.
        let hidden = if commit.is_some() { " || ''" } else { "" };
        let mut rows = Vec::new();
        // One question per possible ref: equal refs come ordered out of the index, a list of refs would not.
        for ref_name in refs_meant(filter.ref_name.as_deref()) {
            let mut query = QueryBuilder::<Db>::new(SELECT);
            query.push(" WHERE 1 = 1");
            if let Some(repository) = &filter.repository {
                query.push(" AND repository").push(hidden).push(" = ").push_bind(repository.to_string());
            }
            if let Some(ref_name) = ref_name {
                query.push(" AND ref_name").push(hidden).push(" = ").push_bind(ref_name);
            }
            if let Some(commit) = &commit {
                // 'g' follows the hexadecimal digits.
                query.push(" AND commit_id >= ").push_bind(commit.clone());
                query.push(" AND commit_id < ").push_bind(format!("{commit}g"));
            }
            if let Some(before) = before {
                query.push(" AND order_number < ").push_bind(before);
            }
            query.push(" ORDER BY order_number DESC LIMIT ").push_bind(i64::from(limit));
            rows.extend(query.build_query_as::<Row>().fetch_all(&self.readers).await?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.order_number));
        rows.truncate(limit as usize);
        self.with_jobs(rows.into_iter().map(Row::read).collect::<Result<_, _>>()?).await
    }

    /// One build with its jobs.
    pub async fn build(&self, id: BuildId) -> Result<Option<BuildView>, LedgerError> {
        let mut query = QueryBuilder::<Db>::new(SELECT);
        query.push(" WHERE id = ").push_bind(id.to_string());
        let row = query.build_query_as::<Row>().fetch_optional(&self.readers).await?;
        let builds = row.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(self.with_jobs(builds).await?.pop())
    }

    async fn order_of(&self, id: BuildId) -> Result<Option<i64>, LedgerError> {
        Ok(sqlx::query_scalar("SELECT order_number FROM builds WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn with_jobs(&self, mut builds: Vec<BuildView>) -> Result<Vec<BuildView>, LedgerError> {
        let ids: Vec<BuildId> = builds.iter().map(|build| build.id).collect();
        let mut jobs = self.jobs_of(&ids).await?;
        for build in &mut builds {
            build.jobs = jobs.remove(&build.id).unwrap_or_default();
        }
        Ok(builds)
    }
}

/// The refs that a full or short name may mean.
fn refs_meant(given: Option<&str>) -> Vec<Option<String>> {
    match given {
        None => vec![None],
        Some(full) if full.parse::<RefName>().is_ok() => vec![Some(full.to_owned())],
        Some(short) => vec![Some(format!("refs/heads/{short}")), Some(format!("refs/tags/{short}"))],
    }
}
