//! The ledger: the truth about commits, builds, jobs, attempts and verdicts.
//!
//! The broker is transport and may lose or repeat anything; what stands here has happened. Every
//! state change goes through one pure function ([`lifecycle`]) inside the transaction that saves it,
//! so nobody can record what may not happen. Must not know: the broker, git, processes, HTTP.
//!
//! Writes need an [`Epoch`]: only the dispatcher that leads may write, and the ledger checks it.
//! Reads need nothing. Logs are files beside the database ([`Logs`]), never rows in it.

mod builds;
mod clock;
mod error;
mod from_row;
mod health;
mod leader_file;
mod ledger;
pub mod lifecycle;
mod logs;
mod migrations;
mod model;
mod moves;
pub mod parking;
mod read;
mod rows;
#[cfg(feature = "simulation")]
pub mod simulated;
mod sql;
mod sqlite;
mod test_model;
mod test_runs;
mod transaction;
mod writer;
mod writes;

pub use error::{LedgerError, LogError, OpenError};
pub use ledger::{ClaimRequest, Ledger, Unpublish};
pub use logs::{LogState, Logs};
pub use model::*;
pub use test_model::*;
pub use test_runs::id_of as test_id;
