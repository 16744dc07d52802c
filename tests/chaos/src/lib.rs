//! Runs Thump's real processes over a real RabbitMQ, hurts both, and says whether the promises were kept.
//!
//! Apart from the stories, because the long run, the figures and the stories use the same engine. What a fault is and
//! what a broken promise is are the business of `proof`; this crate makes the one happen and gathers the evidence for
//! the other.

pub mod api;
pub mod bite;
pub mod figures;
pub mod inject;
pub mod processes;
pub mod repository;
pub mod run;
pub mod site;
pub mod watch;
mod wire;
pub mod work;
pub mod worker;

pub use run::{Options, Outcome, run};
pub use site::{Settings, Site};

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
