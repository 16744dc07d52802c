//! Whether the ledger works: for health pages, and for a dispatcher that has seen damage.
//!
//! Apart from reads and writes because nothing is learned here but that they would work. Must not know:
//! who asks, and what follows.

use std::fs::{File, TryLockError};

use crate::sqlite;
use crate::transaction::Tx;
use crate::writer::Write;
use crate::{Ledger, LedgerError};

/// Writes a row and takes it out again. The page is saved and synced all the same, so a disk that is full
/// or read-only is found as surely as a lock. (A row that is only written as it stands would not do:
/// SQLite compares, and leaves the page alone.)
struct Trial;

impl Write for Trial {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        // No pool has an empty name.
        sqlx::query("INSERT INTO pools (name, waiting, queued, running) VALUES ('', 0, 0, 0)")
            .execute(&mut tx.conn)
            .await?;
        sqlx::query("DELETE FROM pools WHERE name = ''").execute(&mut tx.conn).await?;
        Ok(())
    }
}

impl Ledger {
    /// Whether the ledger takes writes now. Costs one commit and changes nothing.
    ///
    /// # Errors
    /// What the next write of a dispatcher would meet.
    pub async fn try_write(&self) -> Result<(), LedgerError> {
        self.writer.submit(None, Trial).await
    }

    /// Whether any dispatcher leads, in this process or in another one.
    ///
    /// # Errors
    /// The leader's file cannot be looked at.
    pub fn is_led(&self) -> Result<bool, LedgerError> {
        if self.leads_itself() {
            return Ok(true);
        }
        let said = |cause: std::io::Error| LedgerError::Unavailable {
            cause: format!("{}: {cause}", self.leader_file.display()),
        };
        let file = match File::open(&self.leader_file) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(cause) => return Err(said(cause)),
        };
        // Freed again at once. A dispatcher that asks for the lead in this very moment asks again in a second.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(cause)) => Err(said(cause)),
        }
    }

    /// Reads the whole file and looks for damage. Takes as long as the disk needs for that.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], or what keeps the file from being read.
    pub async fn examine(&self) -> Result<(), LedgerError> {
        sqlite::examine(&self.file).await
    }
}
