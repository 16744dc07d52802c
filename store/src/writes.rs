//! Every write, one file per occasion. Each is a plain struct that runs inside a transaction.

pub(crate) mod attempts;
pub(crate) mod cancel;
pub(crate) mod claim;
pub(crate) mod dead;
pub(crate) mod finish;
pub(crate) mod intake;
mod intake_rows;
pub(crate) mod leader;
pub(crate) mod lose;
pub(crate) mod park;
pub(crate) mod publish;
pub(crate) mod release;
pub(crate) mod retry;
pub(crate) mod runners;
pub(crate) mod tests;
