//! What a job's tests said: bytes that a test program wrote become cases with an outcome.
//!
//! Stands beside the runner, who alone has the files and the log; what comes out travels as
//! `messages::TestResults`. Pure: no files, no clock, no tokio. Must not know: where the bytes come from,
//! what becomes of the cases.
//!
//! Everything read here is written by strangers. Each reader takes time in proportion to its input and memory
//! up to a limit, gives what it understood so far when something is broken, and never panics. What does not fit
//! is counted and not kept: see [`Collector`].

mod collector;
mod excerpt;
mod junit;
mod pieces;
mod place;
mod text;

pub use collector::{Collector, TestReport};
pub use junit::{MAX_DEPTH, MAX_FILE_BYTES, NotJunit, junit};
pub use pieces::pieces;
pub use text::LogReader;
