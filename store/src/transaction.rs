//! A running transaction and what must be true when it ends: states of builds, counts of pools, feed.
//!
//! Writes only note what they touched. The consequences are worked out once, just before the commit,
//! however many writes share it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use messages::{BuildId, JobId, PoolName};
use seams::{Defect, planted};
use sqlx::QueryBuilder;

use crate::builds::settle;
use crate::from_row::from_row;
use crate::lifecycle::JobState;
use crate::sql::pieces;
use crate::sqlite::{BEGIN, Connection, Db};
use crate::{ChangeSubject, Epoch, LedgerError, clock};

/// How many lines the change feed keeps.
const FEED_LENGTH: i64 = 100_000;
/// The feed is cut once in so many lines.
const FEED_CUT: i64 = 1_000;

/// A transaction, and between two of them the writer's connection.
pub(crate) struct Tx {
    /// For statements.
    pub(crate) conn: Connection,
    /// The time of this transaction, in microseconds since 1970.
    pub(crate) now: i64,
    /// The ledger's single row.
    pub(crate) state: LedgerState,
    /// What the current write touched.
    pub(crate) touched: Touched,
    begun: LedgerState,
    before_write: LedgerState,
    savepoint: bool,
    kept: Touched,
    last_change: i64,
}

from_row! {
    /// Row of `ledger_state`.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(crate) struct LedgerState {
        /// The current leadership.
        pub(crate) epoch: i64,
        /// Who leads.
        pub(crate) holder: Option<String>,
        /// The last line of the feed.
        pub(crate) change_number: i64,
        /// The last place in the order of builds and jobs.
        pub(crate) order_number: i64,
    }
}

/// What writes touched.
#[derive(Default)]
pub(crate) struct Touched {
    subjects: BTreeSet<(&'static str, String)>,
    builds: BTreeSet<BuildId>,
    /// By how much waiting, queued and running changed.
    pools: BTreeMap<PoolName, [i64; 3]>,
}

impl Touched {
    /// Something about it changed, for the feed.
    pub(crate) fn subject(&mut self, subject: &ChangeSubject) {
        self.subjects.insert(match subject {
            ChangeSubject::Build(id) => ("build", id.to_string()),
            ChangeSubject::Job(id) => ("job", id.to_string()),
            ChangeSubject::Runner(name) => ("runner", name.to_string()),
            ChangeSubject::DeadLetter(number) => ("dead_letter", number.to_string()),
        });
    }

    /// A job of this build moved: the build's own state is worked out again at the end.
    pub(crate) fn moved(&mut self, build: BuildId, job: JobId, pool: &PoolName, from: Option<JobState>, to: JobState) {
        self.builds.insert(build);
        self.subject(&ChangeSubject::Build(build));
        self.subject(&ChangeSubject::Job(job));
        self.count(pool, from, to);
    }

    /// Counts a job that leaves `from` (or is new) and enters `to`.
    pub(crate) fn count(&mut self, pool: &PoolName, from: Option<JobState>, to: JobState) {
        for (state, by) in from.map(|from| (from, -1)).into_iter().chain([(to, 1)]) {
            let place = match state {
                JobState::Waiting => 0,
                JobState::Queued => 1,
                JobState::Running { .. } => 2,
                JobState::Done(_) => continue,
            };
            self.pools.entry(pool.clone()).or_default()[place] += by;
        }
    }

    fn merge(&mut self, other: Self) {
        self.subjects.extend(other.subjects);
        self.builds.extend(other.builds);
        for (pool, by) in other.pools {
            let sum = self.pools.entry(pool).or_default();
            for (sum, by) in sum.iter_mut().zip(by) {
                *sum += by;
            }
        }
    }
}

impl Tx {
    /// Between transactions.
    pub(crate) fn new(conn: Connection, last_change: i64) -> Self {
        let state = LedgerState::default;
        Self {
            conn,
            now: 0,
            state: state(),
            touched: Touched::default(),
            begun: state(),
            before_write: state(),
            savepoint: false,
            kept: Touched::default(),
            last_change,
        }
    }

    /// Goes on with another connection after the old one was lost.
    pub(crate) fn reconnect(&mut self, conn: Connection) {
        self.conn = conn;
    }

    /// The last line of the feed that is committed.
    pub(crate) fn last_change(&self) -> i64 {
        self.last_change
    }

    /// Whether writes of `epoch` may be saved in this transaction.
    pub(crate) fn check_epoch(&self, epoch: Option<Epoch>) -> Result<(), LedgerError> {
        match epoch {
            Some(Epoch(epoch)) if epoch != self.state.epoch && !planted(Defect::EpochUnchecked) => {
                Err(LedgerError::Deposed)
            }
            _ => Ok(()),
        }
    }

    /// The next place in the order of builds and jobs.
    pub(crate) fn next_order(&mut self) -> i64 {
        self.state.order_number += 1;
        self.state.order_number
    }

    pub(crate) async fn begin(&mut self) -> Result<(), LedgerError> {
        sqlx::query(BEGIN).execute(&mut self.conn).await?;
        self.state = sqlx::query_as("SELECT epoch, holder, change_number, order_number FROM ledger_state WHERE id = 1")
            .fetch_one(&mut self.conn)
            .await?;
        self.begun = self.state.clone();
        self.last_change = self.state.change_number;
        self.now = clock::now();
        self.savepoint = false;
        self.touched = Touched::default();
        self.kept = Touched::default();
        Ok(())
    }

    /// From here on a single write can be taken back.
    pub(crate) async fn savepoint(&mut self) -> Result<(), LedgerError> {
        let statement = if self.savepoint { "RELEASE one_write; SAVEPOINT one_write" } else { "SAVEPOINT one_write" };
        sqlx::raw_sql(statement).execute(&mut self.conn).await?;
        self.savepoint = true;
        self.before_write = self.state.clone();
        Ok(())
    }

    /// The write since the savepoint stays.
    pub(crate) fn keep(&mut self) {
        let touched = mem::take(&mut self.touched);
        self.kept.merge(touched);
    }

    /// The write since the savepoint never was.
    pub(crate) async fn take_back(&mut self) -> Result<(), LedgerError> {
        sqlx::raw_sql("ROLLBACK TO one_write").execute(&mut self.conn).await?;
        self.touched = Touched::default();
        self.state = self.before_write.clone();
        Ok(())
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), LedgerError> {
        match sqlx::raw_sql("ROLLBACK").execute(&mut self.conn).await {
            // "no transaction is active": SQLite has ended it by itself.
            Err(cause) if cause.as_database_error().is_some() => Ok(()),
            outcome => outcome.map(|_| ()).map_err(LedgerError::from),
        }
    }

    /// Writes the consequences and saves everything.
    pub(crate) async fn commit(&mut self) -> Result<(), LedgerError> {
        let builds: Vec<BuildId> = mem::take(&mut self.kept.builds).into_iter().collect();
        settle(self, &builds).await?;
        self.write_pools().await?;
        self.write_feed().await?;
        if self.state != self.begun {
            sqlx::query(
                "UPDATE ledger_state SET epoch = $1, holder = $2, change_number = $3, order_number = $4 WHERE id = 1",
            )
            .bind(self.state.epoch)
            .bind(&self.state.holder)
            .bind(self.state.change_number)
            .bind(self.state.order_number)
            .execute(&mut self.conn)
            .await?;
        }
        sqlx::query("COMMIT").execute(&mut self.conn).await?;
        self.last_change = self.state.change_number;
        Ok(())
    }

    async fn write_pools(&mut self) -> Result<(), LedgerError> {
        let pools: Vec<(PoolName, [i64; 3])> =
            mem::take(&mut self.kept.pools).into_iter().filter(|(_, by)| *by != [0; 3]).collect();
        for piece in pieces(&pools) {
            let mut query = QueryBuilder::<Db>::new("INSERT INTO pools (name, waiting, queued, running) ");
            query.push_values(piece, |mut row, (pool, [waiting, queued, running])| {
                row.push_bind(pool.as_str().to_owned()).push_bind(*waiting).push_bind(*queued).push_bind(*running);
            });
            query.push(
                " ON CONFLICT (name) DO UPDATE SET waiting = pools.waiting + excluded.waiting, \
                 queued = pools.queued + excluded.queued, running = pools.running + excluded.running",
            );
            query.build().execute(&mut self.conn).await?;
        }
        Ok(())
    }

    async fn write_feed(&mut self) -> Result<(), LedgerError> {
        let subjects: Vec<(&'static str, String)> = mem::take(&mut self.kept.subjects).into_iter().collect();
        let first = self.state.change_number;
        for piece in pieces(&subjects) {
            let mut query = QueryBuilder::<Db>::new("INSERT INTO changes (number, kind, id) ");
            query.push_values(piece, |mut row, (kind, id)| {
                self.state.change_number += 1;
                row.push_bind(self.state.change_number).push_bind(*kind).push_bind(id.clone());
            });
            query.build().execute(&mut self.conn).await?;
        }
        if first / FEED_CUT != self.state.change_number / FEED_CUT {
            sqlx::query("DELETE FROM changes WHERE number <= $1")
                .bind(self.state.change_number - FEED_LENGTH)
                .execute(&mut self.conn)
                .await?;
        }
        Ok(())
    }
}
