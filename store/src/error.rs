//! What can be wrong with the ledger, and whether a retry helps.

use std::io;
use std::path::PathBuf;

/// Why the ledger could not be opened. The file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The `--store` value has no form that is understood.
    #[error("the store {given:?} is not understood; it has the form sqlite:<path>")]
    Url {
        /// What was given.
        given: String,
    },
    /// The folder or file cannot be used.
    #[error("open the ledger {}: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system or the database said.
        cause: String,
    },
    /// The file is no ledger, or is damaged.
    #[error("the ledger {} is damaged or no ledger ({cause}); nothing was changed: restore it from a backup, or move it away to begin anew", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the database said.
        cause: String,
    },
    /// A newer version of Thump has migrated it.
    #[error("the ledger {} was written by a newer version of Thump; nothing was changed: use that version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
}

/// Why something could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Another dispatcher leads now: stop writing.
    #[error("another dispatcher leads now")]
    Deposed,
    /// Locked, disk full, I/O: nothing was written, try again later.
    #[error("the ledger cannot be used now: {cause}")]
    Unavailable {
        /// What the database said.
        cause: String,
    },
    /// The file is damaged: nothing was written, and no retry helps. A person has to restore it.
    #[error("the ledger is damaged ({what}): stop every dispatcher, restore the file from a backup, start again")]
    Damaged {
        /// What the database said.
        what: String,
    },
    /// One thing that is stored does not fit this program, and the rest does: a bug.
    #[error("the ledger holds something that does not fit: {what}")]
    Inconsistent {
        /// What and where.
        what: String,
    },
}

impl LedgerError {
    /// Whether the same call may succeed later without a person.
    pub fn worth_retrying(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the whole ledger is in the way, and not this one read or write.
    pub fn concerns_the_file(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Damaged { .. })
    }
}

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("log file {}: {cause}", path.display())]
pub struct LogError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}
