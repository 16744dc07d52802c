//! Stories about one runner: real repositories, real processes, the broker inside the process.
#![expect(unreachable_pub, reason = "the parts of a test program are nobody's interface")]

mod delivery;
mod jobs;
mod logs;
mod manners;
mod rabbit;
mod remote;
mod trees;
mod world;
