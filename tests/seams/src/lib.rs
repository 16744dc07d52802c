//! Where tests reach into the roles. Without its features every function is the plain one behind it.
//!
//! - [`chance`]: identities, jitter, the clock on the wall, threads for blocking work: all by which two runs
//!   of one program differ. Under `simulation` a thread can be given a seed for them.
//! - [`crash`]: the instants around a commit at which a simulated process can die.
//! - [`planted`]: the defects by which the tests themselves are tested. Under `defects` one can be chosen.
//!
//! Apart because production code asks and only tests answer. Must not know: any other crate.

pub mod chance;
pub mod crash;
mod defects;

#[cfg(feature = "defects")]
pub use defects::plant;
pub use defects::{Defect, planted};
