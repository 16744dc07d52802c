//! What lets a ledger take part in a simulation: calls that end within one poll, and connections that are
//! used again by the next life.
//!
//! SQLite works on threads of its own, whose pace is chance. On a thread that has a seed (`seams::chance`)
//! every call waits for them on the spot, so that neither time nor another task moves meanwhile. On other
//! threads nothing differs but that the readers' pool is behind a small wrapper. Only under the feature
//! `simulation`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use sqlx::sqlite::{SqlitePool, SqliteTypeInfo};
use sqlx::{Either, Execute, Executor, Row, SqlStr};

use crate::sqlite::{self, Connection, Db};

/// Runs `call` to its end on the spot, if this thread has a seed.
pub async fn at_once<T>(call: impl Future<Output = T>) -> T {
    if !seams::chance::is_seeded() {
        return call.await;
    }
    wait_here(call)
}

/// Waits on this very thread. Without tokio's budget, which is only given back between polls.
fn wait_here<T>(call: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut call = std::pin::pin!(tokio::task::unconstrained(call));
    loop {
        match call.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

thread_local! {
    /// Connections that dead or ended writers have left, and the one for readers, by file.
    static WRITERS: RefCell<Vec<(PathBuf, Connection)>> = const { RefCell::new(Vec::new()) };
    static READER: RefCell<Option<(PathBuf, Arc<Mutex<Connection>>)>> = const { RefCell::new(None) };
}

/// Opens the ledger at `path` for this thread: the file, `writers` connections to write with, one to read.
///
/// # Errors
/// What [`crate::OpenError`] or SQLite says.
pub async fn make_ready(path: &Path, writers: usize) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    drop(sqlite::open(path).await?);
    for _ in 0..writers {
        let connection = sqlite::connect_for_simulation(path, false).await?;
        WRITERS.with_borrow_mut(|left| left.push((path.to_owned(), connection)));
    }
    let reader = sqlite::connect_for_simulation(path, true).await?;
    READER.set(Some((path.to_owned(), Arc::new(Mutex::new(reader)))));
    Ok(())
}

/// Connections that were made ready, or left by an earlier life.
pub(crate) fn left(path: &Path) -> Option<(Connection, Readers)> {
    let readers = READER.with_borrow(|left| {
        left.as_ref().filter(|(of, _)| of == path).map(|(_, connection)| Readers::One(Arc::clone(connection)))
    })?;
    Some((left_writer(path)?, readers))
}

fn left_writer(path: &Path) -> Option<Connection> {
    WRITERS.with_borrow_mut(|left| {
        let place = left.iter().position(|(of, _)| of == path)?;
        Some(left.swap_remove(place).1)
    })
}

/// Leaves a connection, outside of any transaction, for the next life.
pub(crate) fn leave_writer(path: &Path, connection: Connection) {
    if seams::chance::is_seeded() {
        WRITERS.with_borrow_mut(|left| left.push((path.to_owned(), connection)));
    }
}

/// The connections for readers.
#[derive(Clone)]
pub(crate) enum Readers {
    /// Outside of a simulation.
    Pool(SqlitePool),
    /// One for everybody, always used to the end within one poll.
    One(Arc<Mutex<Connection>>),
}

impl Readers {
    /// Ends them, outside of a simulation.
    pub(crate) async fn close(&self) {
        if let Self::Pool(pool) = self {
            pool.close().await;
        }
    }
}

type Piece = Result<Either<sqlx::sqlite::SqliteQueryResult, sqlx::sqlite::SqliteRow>, sqlx::Error>;

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers")
    }
}

impl<'p> Executor<'p> for &'_ Readers {
    type Database = Db;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Piece>
    where
        'p: 'e,
        E: 'q + Execute<'q, Db>,
    {
        match self {
            Readers::Pool(pool) => pool.fetch_many(query),
            Readers::One(connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let all = wait_here((&mut *connection).fetch_many(query).collect::<Vec<_>>());
                futures::stream::iter(all).boxed()
            }
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<sqlx::sqlite::SqliteRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Db>,
    {
        match self {
            Readers::Pool(pool) => pool.fetch_optional(query),
            Readers::One(connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let row = wait_here((&mut *connection).fetch_optional(query));
                Box::pin(std::future::ready(row))
            }
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, Result<sqlx::sqlite::SqliteStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        match self {
            Readers::Pool(pool) => pool.prepare_with(sql, parameters),
            Readers::One(connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let prepared = wait_here((&mut *connection).prepare_with(sql, parameters));
                Box::pin(std::future::ready(prepared))
            }
        }
    }
}

/// Empties every table of the ledger at `path`, as if it had just been made. For the next seed.
///
/// # Errors
/// What SQLite says.
pub fn empty(path: &Path) -> Result<(), sqlx::Error> {
    let Some(mut connection) = left_writer(path) else { return Ok(()) };
    let outcome = wait_here(async {
        let tables = sqlx::query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
             AND name NOT IN ('_sqlx_migrations', 'ledger_state')",
        );
        let mut all = String::from("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE;");
        for row in tables.fetch_all(&mut connection).await? {
            all.push_str("DELETE FROM ");
            all.push_str(row.get::<&str, _>(0));
            all.push(';');
        }
        all.push_str("UPDATE ledger_state SET epoch = 0, holder = NULL, change_number = 0, order_number = 0;");
        all.push_str("COMMIT; PRAGMA foreign_keys = ON;");
        sqlx::raw_sql(sqlx::AssertSqlSafe(all)).execute(&mut connection).await
    });
    WRITERS.with_borrow_mut(|left| left.push((path.to_owned(), connection)));
    outcome.map(|_| ())
}
