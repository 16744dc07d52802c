//! Waiting longer after each failure, with jitter, for ever.

use std::time::Duration;

/// Doubles from a first wait up to a longest one. Each wait is cut by up to a half at random, so that
/// many runners do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// It went well: the next failure waits shortly again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) async fn wait(&mut self) {
        let wait = self.next.mul_f64(seams::chance::jitter());
        self.next = (self.next * 2).min(self.longest);
        tokio::time::sleep(wait).await;
    }
}
