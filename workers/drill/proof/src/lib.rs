//! Says whether Thump kept its promises. Its parts are pure:
//!
//! - [`truth`]: what really ran, as the jobs themselves wrote it down, and the shell text by which they do;
//! - [`check`]: that truth and what was pushed, held against what Thump recorded;
//! - [`recovery`]: how soon the jobs of killed runners went on;
//! - [`faults`]: which fault hits whom and when, the same for the same seed.
//!
//! Apart from whoever injects the faults, so that the judge can be tested without a crime. Knows no processes, no
//! broker, no clock and no files.

pub mod check;
pub mod faults;
pub mod findings;
pub mod recorded;
pub mod recovery;
pub mod truth;

pub use check::{Evidence, Expected, Pushed, check};
pub use findings::{Finding, Findings, Kind};
pub use recorded::{Attempt, Build, Job};
pub use truth::Truth;
