//! All that is said to SQLite and to no other database: pragmas, the write lock, error codes, the file.
//!
//! Apart so that another database needs another file like this one and not another ledger.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};

use crate::migrations::MIGRATIONS;
use crate::{LedgerError, OpenError};

/// The database.
pub(crate) type Db = sqlx::Sqlite;
/// A connection to it.
pub(crate) type Connection = SqliteConnection;
/// Connections for readers.
#[cfg(not(feature = "simulation"))]
pub(crate) type Pool = sqlx::SqlitePool;
#[cfg(feature = "simulation")]
pub(crate) type Pool = crate::simulated::Readers;

/// Takes the write lock at once: a transaction that begins as a reader can fail when it begins to write.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

/// How long a writer waits for another process before the ledger counts as unavailable.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers never wait for the writer (WAL), so a few connections serve many pages.
const READERS: u32 = 4;
/// "Thmp" in the file's header (`PRAGMA application_id`): tells a ledger from somebody else's database.
const APPLICATION_ID: i64 = 0x5468_6d70;
/// Every SQLite file begins with this (sqlite.org/fileformat2.html, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Up to this size every page is checked at the start. A check reads the whole file; beyond this it
/// would delay every start by seconds, and what it could find is found when the page is read.
const QUICK_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// Takes the path out of `sqlite:<path>`.
pub(crate) fn path_of(url: &str) -> Result<PathBuf, OpenError> {
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() && !path.contains(":memory:") => Ok(PathBuf::from(path)),
        _ => Err(OpenError::Url { given: url.to_owned() }),
    }
}

fn writer_options(path: &Path) -> SqliteConnectOptions {
    plain_options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // What was answered as recorded survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .statement_cache_capacity(500)
        // 16 MiB: a page that many transactions change is moved into the main file once for all of them.
        .pragma("wal_autocheckpoint", "4000")
}

fn plain_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

/// Opens writer and readers, after a look at the file that changes nothing in it.
pub(crate) async fn open(path: &Path) -> Result<(Connection, Pool), OpenError> {
    #[cfg(feature = "simulation")]
    if let Some(left) = crate::simulated::left(path) {
        return Ok(left);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|cause| unusable(path, &cause))?;
    }
    let _turn = take_turn(path).await?;
    let exists = look(path)?;
    if exists {
        check(path).await?;
    }
    let mut writer = writer_options(path).connect().await.map_err(|cause| refused(path, &cause))?;
    migrate(path, &mut writer).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_lazy_with(plain_options(path).read_only(true));
    #[cfg(feature = "simulation")]
    let readers = crate::simulated::Readers::Pool(readers);
    Ok((writer, readers))
}

/// Connects once more to a ledger that stands, without sync: a simulation loses no power.
#[cfg(feature = "simulation")]
pub(crate) async fn connect_for_simulation(path: &Path, reads_only: bool) -> Result<Connection, sqlx::Error> {
    let options = if reads_only { plain_options(path).read_only(true) } else { writer_options(path) };
    options.synchronous(SqliteSynchronous::Off).connect().await
}

/// Processes that start at once open the ledger one after the other: SQLite does not wait for a lock while
/// it changes the journal mode, and two migrations at once meet half-made tables. Ends with its drop.
async fn take_turn(path: &Path) -> Result<File, OpenError> {
    let beside = beside(path, ".opening");
    let taken = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(beside)?;
        file.lock()?;
        Ok(file)
    });
    taken.await.unwrap_or_else(|cause| Err(io::Error::other(cause))).map_err(|cause| unusable(path, &cause))
}

/// Whether there is a file with something in it, which then begins as every SQLite file does.
fn look(path: &Path) -> Result<bool, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(unusable(path, &cause)),
    };
    let mut head = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head).map_err(|cause| unusable(path, &cause))?;
    match head.as_slice() {
        [] => Ok(false),
        head if head == MAGIC => Ok(true),
        _ => Err(corrupt(path, "it does not begin like a database")),
    }
}

/// Looks into an existing file over a connection that cannot write.
async fn check(path: &Path) -> Result<(), OpenError> {
    let mut connection = plain_options(path).read_only(true).connect().await.map_err(|cause| refused(path, &cause))?;
    let outcome = check_over(path, &mut connection).await;
    connection.close().await.map_err(|cause| refused(path, &cause))?;
    outcome
}

async fn check_over(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let refused = |cause| refused(path, &cause);
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&mut *connection).await.map_err(refused)?;
    if tables == 0 {
        return Ok(());
    }
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(refused)?;
    if id != APPLICATION_ID {
        return Err(corrupt(path, "it is the database of another program"));
    }
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(refused)?;
    if newest > MIGRATIONS.iter().map(|migration| migration.version).max() {
        return Err(OpenError::Newer { path: path.to_owned() });
    }
    let size = std::fs::metadata(path).map_err(|cause| unusable(path, &cause))?.len();
    if size <= QUICK_CHECK_BYTES {
        let said: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(refused)?;
        if said != "ok" {
            return Err(corrupt(path, &said));
        }
    }
    Ok(())
}

/// Reads every page of a ledger that is in use, over a connection that cannot write.
pub(crate) async fn examine(file: &SameFile) -> Result<(), LedgerError> {
    file.check()?;
    let mut connection = plain_options(&file.path).read_only(true).connect().await?;
    let said: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
    connection.close().await?;
    if said == "ok" { Ok(()) } else { Err(LedgerError::Damaged { what: said }) }
}

async fn migrate(path: &Path, writer: &mut Connection) -> Result<(), OpenError> {
    migrate_once(path, writer).await.map_err(|cause| match cause {
        MigrateError::VersionMissing(_) => OpenError::Newer { path: path.to_owned() },
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => refused(path, &cause),
        cause => corrupt(path, &cause.to_string()),
    })
}

async fn migrate_once(path: &Path, writer: &mut Connection) -> Result<(), MigrateError> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&mut *writer).await?;
    if tables == 0 {
        tracing::info!(ledger = %path.display(), "ledger created");
        sqlx::query("PRAGMA application_id = 0x54686d70").execute(&mut *writer).await?;
    }
    MIGRATIONS.run_direct(None, writer, false).await
}

fn unusable(path: &Path, cause: &dyn std::fmt::Display) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), cause: cause.to_string() }
}

fn corrupt(path: &Path, cause: &str) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), cause: cause.to_owned() }
}

fn refused(path: &Path, cause: &sqlx::Error) -> OpenError {
    match (code_of(cause), cause) {
        // CORRUPT and NOTADB (sqlite.org/rescode.html); an ERROR here is a schema that makes no sense.
        (Some(11 | 26 | 1), _) | (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound) => {
            corrupt(path, &said_by(cause))
        }
        _ => unusable(path, &said_by(cause)),
    }
}

/// The primary result code; the extended one has more bits above the lowest eight.
fn code_of(cause: &sqlx::Error) -> Option<i32> {
    let code = cause.as_database_error()?.code()?.parse::<i32>().ok()?;
    Some(code & 0xff)
}

fn said_by(cause: &sqlx::Error) -> String {
    cause.as_database_error().map_or_else(|| cause.to_string(), |cause| cause.message().to_owned())
}

impl From<sqlx::Error> for LedgerError {
    fn from(cause: sqlx::Error) -> Self {
        // Result codes of SQLite that a person or a moment can mend without a look into the file:
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL (sqlite.org/rescode.html).
        match (code_of(&cause), &cause) {
            (Some(5..=10 | 13..=15), _)
            | (
                _,
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed,
            ) => Self::Unavailable { cause: said_by(&cause) },
            // CORRUPT and NOTADB.
            (Some(11 | 26), _) => Self::Damaged { what: said_by(&cause) },
            _ => Self::Inconsistent { what: said_by(&cause) },
        }
    }
}

/// Knows the file that was opened. SQLite goes on writing into a file that was deleted or replaced, and
/// nobody would ever read what it wrote there.
#[derive(Clone)]
pub(crate) struct SameFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SameFile {
    /// Remembers the file at `path`.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device_and_inode: (metadata.dev(), metadata.ino()) })
    }

    /// Where it is.
    #[cfg(feature = "simulation")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether that file is still there.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        match Self::at(&self.path) {
            Ok(now) if now.device_and_inode == self.device_and_inode => Ok(()),
            _ => Err(LedgerError::Unavailable {
                cause: format!(
                    "{} was moved, deleted or replaced while it was open; put it back, or start again",
                    self.path.display()
                ),
            }),
        }
    }

    /// How to connect to it again, but not to a new one in its place.
    pub(crate) fn options(&self) -> SqliteConnectOptions {
        writer_options(&self.path).create_if_missing(false)
    }
}

/// Moves everything that is committed into the main file, so that a copy of it alone is a whole ledger.
/// Another process that reads at this moment may be in the way; then the rest stays beside it.
pub(crate) async fn gather(file: &SameFile) -> Result<(), LedgerError> {
    file.check()?;
    let mut connection = file.options().connect().await?;
    let outcome: Result<(i64, i64, i64), _> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await;
    connection.close().await?;
    match outcome? {
        (0, ..) => Ok(()),
        _ => Err(LedgerError::Unavailable { cause: "another process reads or writes it".to_owned() }),
    }
}

/// The file's name with something behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
