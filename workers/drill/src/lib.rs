//! Runs Thump's real processes, hurts them, and says whether the promises were kept: `thump drill`, and the chaos tests.
//!
//! Over RabbitMQ each role is a process with a proxy between it and the broker; with the embedded broker all of them are
//! one process under a bad weather. Apart from the stories, because a team runs it on its own machine. What a fault is
//! and what a broken promise is are the business of `proof`; this crate makes the one happen and gathers the evidence
//! for the other. Must not know: the ledger (it asks the API, as people do), nodes of RabbitMQ.

pub mod api;
pub mod inject;
pub mod power;
pub mod processes;
pub mod repository;
pub mod run;
pub mod scratch;
pub mod site;
pub mod storm;
pub mod watch;
pub mod wire;
pub mod work;
pub mod worker;

pub use power::Power;
pub use run::{Options, Outcome, run};
pub use site::{Carrier, Settings, Site};

/// Hundredths of a second since the machine started: the clock of the jobs' own lines and of the process table.
pub fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(proof::truth::hundredths).unwrap_or(0)
}

/// A seed that nobody used before.
pub fn any_seed() -> u64 {
    // Short enough to be typed again.
    u64::from(rand::random::<u32>())
}
