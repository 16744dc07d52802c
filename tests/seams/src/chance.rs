//! All by which two runs of one program differ: identities, jitter, the clock on the wall, other threads.
//!
//! From the system; under `simulation`, and on a thread that has a [`Seed`], from that.

use jiff::Timestamp;
use tokio::task::JoinError;
use uuid::Uuid;

/// A new identity (UUID version 4).
pub fn id() -> Uuid {
    #[cfg(feature = "simulation")]
    if let Some(bits) = seeded::bits() {
        return uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
    }
    Uuid::new_v4()
}

/// A new identity that sorts after the earlier ones of this process (UUID version 7).
pub fn ordered_id() -> Uuid {
    #[cfg(feature = "simulation")]
    if let Some((count, bits)) = seeded::counted() {
        return Uuid::from_u64_pair(count << 16 | 0x7000, 0x8000_0000_0000_0000 | bits >> 2);
    }
    Uuid::now_v7()
}

/// Bits that nobody can guess: from the thread's generator, which is a cryptographic one that the system
/// seeds.
pub fn secret() -> [u8; 16] {
    #[cfg(feature = "simulation")]
    if let Some(bits) = seeded::bits() {
        return bits.to_be_bytes();
    }
    rand::random()
}

/// A share between a half and the whole, so that many who wait do not come back at the same moment.
pub fn jitter() -> f64 {
    #[cfg(feature = "simulation")]
    if let Some(bits) = seeded::bits() {
        return 0.5 + (bits as u32 as f64) / (f64::from(u32::MAX) * 2.0);
    }
    rand::random_range(0.5..=1.0)
}

/// The time on the wall. Nothing may be decided by it alone: it jumps.
pub fn now() -> Timestamp {
    #[cfg(feature = "simulation")]
    if let Some(now) = seeded::now() {
        return now;
    }
    Timestamp::now()
}

/// Does something that blocks on a thread of its own.
///
/// # Errors
/// It panicked.
pub async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    #[cfg(feature = "simulation")]
    if is_seeded() {
        // Another thread's pace would be chance.
        return Ok(act());
    }
    tokio::task::spawn_blocking(act).await
}

/// Whether this thread's chance comes from a seed.
pub fn is_seeded() -> bool {
    #[cfg(feature = "simulation")]
    if seeded::is_on() {
        return true;
    }
    false
}

#[cfg(feature = "simulation")]
pub use seeded::{Seed, jump};

#[cfg(feature = "simulation")]
mod seeded {
    use std::cell::RefCell;

    use jiff::Timestamp;
    use tokio::time::Instant;

    thread_local! {
        static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
    }

    struct Source {
        state: u64,
        count: u64,
        begun: Instant,
        /// How far the clock on the wall is off, in milliseconds.
        off: i64,
    }

    /// While it lives, this thread's chance comes from its number, and its wall clock from tokio's.
    pub struct Seed(());

    impl Seed {
        /// Begins. Call it in the runtime whose time is simulated.
        pub fn new(number: u64) -> Self {
            let source = Source { state: number ^ 0x5eed_5eed_5eed_5eed, count: 0, begun: Instant::now(), off: 0 };
            SOURCE.set(Some(source));
            Self(())
        }
    }

    impl Drop for Seed {
        fn drop(&mut self) {
            SOURCE.set(None);
        }
    }

    fn with<T>(act: impl FnOnce(&mut Source) -> T) -> Option<T> {
        SOURCE.with_borrow_mut(|source| source.as_mut().map(act))
    }

    pub(super) fn is_on() -> bool {
        with(|_| ()).is_some()
    }

    impl Source {
        /// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for choices.
        fn next(&mut self) -> u64 {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    pub(super) fn bits() -> Option<u128> {
        with(|source| u128::from(source.next()) << 64 | u128::from(source.next()))
    }

    pub(super) fn counted() -> Option<(u64, u64)> {
        with(|source| {
            source.count += 1;
            (source.count, source.next())
        })
    }

    pub(super) fn now() -> Option<Timestamp> {
        with(|source| {
            let passed = i64::try_from(source.begun.elapsed().as_micros()).unwrap_or(i64::MAX);
            let start = 1_800_000_000_000_000;
            Timestamp::from_microsecond(start + passed + source.off * 1000).unwrap_or_default()
        })
    }

    /// Sets the clock on the wall forward or back.
    pub fn jump(milliseconds: i64) {
        with(|source| source.off += milliseconds);
    }
}
