//! How long silence is borne, by either side.
//!
//! The two limits stand together because their difference is what keeps two attempts of an exclusive job
//! apart. Let a runner send a beat (or a claim) at the moment 0, and let it be the last one whose answer it
//! hears. The broker has it at some e >= 0, and the lease ends with the 15th tick that the queue holds behind
//! it. The dispatcher sends a tick when the one before is confirmed and a second has passed, so the second
//! of those ticks was sent after e and the 15th at least 13 seconds after the second: the lease ends after
//! e + 13 s. The runner kills at 12 s. What is left bears the killing and clocks that differ by some per cent.
//! A new leader grants every lease anew and only makes it later.

use std::time::Duration;

/// How long the dispatcher waits for a runner's word before its attempts count as lost.
pub const LEASE: Duration = Duration::from_secs(15);
/// How long an exclusive attempt may run after its runner *sent* the last beat that was answered.
pub const LEASH: Duration = Duration::from_secs(12);
/// How often the dispatcher's clock moves.
pub const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leash_ends_before_the_shortest_lease() {
        // The second tick behind the beat was sent after it, the last one so many ticks later.
        let shortest = LEASE - 2 * TICK;
        assert!(LEASH + Duration::from_millis(900) <= shortest);
    }
}
