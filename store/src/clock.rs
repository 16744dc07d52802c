//! The one place where the ledger reads the time.
//!
//! Times are for people and for ages: nothing is ordered or decided by them, so a clock that jumps
//! spoils a display and no job.

/// Now, in microseconds since 1970.
pub(crate) fn now() -> i64 {
    seams::chance::now().as_microsecond()
}
