//! A runner whose own machine fails takes no jobs until the machine has proved itself: it must not eat the
//! queue, one attempt after the other.
//!
//! ```text
//! well ── a fault ──► leaving ── consumer stopped, unstarted jobs given back ──► out ── trial passed ──► well
//! ```
//! A full disk, no descriptor, no process: the trial finds those at once. What it does not find shows as
//! several jobs in a row that fail for reasons of this machine; then the rest grows each time. Must not know:
//! what a job is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::hands::Hands;

/// So many faults in a row are no accident, even if the trial passes.
const ROW: u32 = 3;
/// The rest after such a row; doubles with each further fault up to the longest.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Between two trials.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest reason that is told, in characters.
const MAX_WHY: usize = 300;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Well,
    /// Jobs may still come in.
    Leaving(String),
    Out(String),
}

/// Where one runner stands.
pub(crate) struct Quarantine {
    stage: watch::Sender<Stage>,
    /// Jobs in a row that failed for reasons of this machine.
    faults: AtomicU32,
}

impl Quarantine {
    pub(crate) fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Well), faults: AtomicU32::new(0) }
    }

    /// Why no jobs are taken; `None`: they are.
    pub(crate) fn why(&self) -> Option<String> {
        match &*self.stage.borrow() {
            Stage::Well => None,
            Stage::Leaving(why) | Stage::Out(why) => Some(why.clone()),
        }
    }

    /// An attempt ended well or badly, but not by a fault of this machine.
    pub(crate) fn no_fault(&self) {
        self.faults.store(0, Ordering::Relaxed);
    }

    /// A job could not even begin.
    pub(crate) fn could_not_begin(&self, why: &str) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.begin(why);
    }

    /// An attempt ended by a fault of this machine: is it the job's bad luck or everybody's?
    pub(crate) async fn fault(&self, why: &str, hands: &dyn Hands) {
        let row = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        match hands.trial().await {
            Err(found) => self.begin(&found),
            Ok(()) if row >= ROW => self.begin(&format!("{row} jobs in a row failed by it, the last: {why}")),
            Ok(()) => {}
        }
    }

    fn begin(&self, why: &str) {
        self.stage.send_if_modified(|stage| {
            let fresh = *stage == Stage::Well;
            if fresh {
                *stage = Stage::Leaving(why.chars().take(MAX_WHY).collect());
            }
            fresh
        });
    }

    /// Returns when the runner has to stop taking jobs, with the reason.
    pub(crate) async fn begun(&self) -> String {
        let mut stage = self.stage.subscribe();
        let seen = stage.wait_for(|stage| matches!(stage, Stage::Leaving(_))).await;
        let why = seen.ok().and_then(|stage| match &*stage {
            Stage::Leaving(why) => Some(why.clone()),
            Stage::Well | Stage::Out(_) => None,
        });
        match why {
            Some(why) => why,
            // Cannot be: the sender is our own.
            None => std::future::pending().await,
        }
    }

    /// Nothing is taken any more: what is given back does not return at once.
    pub(crate) fn out(&self) {
        self.stage.send_modify(|stage| {
            if let Stage::Leaving(why) = stage {
                *stage = Stage::Out(std::mem::take(why));
            }
        });
    }

    /// Waits for [`Quarantine::out`], if there is a quarantine.
    pub(crate) async fn left(&self) {
        drop(self.stage.subscribe().wait_for(|stage| !matches!(stage, Stage::Leaving(_))).await);
    }

    /// Rests, and returns when the machine has passed its trial.
    pub(crate) async fn rest(&self, hands: &dyn Hands) {
        sleep(rest_after(self.faults.load(Ordering::Relaxed))).await;
        let mut pause = SHORTEST_PAUSE;
        while let Err(why) = hands.trial().await {
            tracing::debug!(why, "the machine did not pass its trial");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Jobs are taken again.
    pub(crate) fn over(&self) {
        self.stage.send_replace(Stage::Well);
    }
}

/// How long to rest before the first trial.
fn rest_after(row: u32) -> Duration {
    match row.checked_sub(ROW) {
        None => SHORTEST_PAUSE,
        Some(more) => FIRST_REST.saturating_mul(1 << more.min(10)).min(LONGEST_REST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_faults_that_no_trial_explains_makes_the_rests_longer() {
        let rests: Vec<u64> = (1..=8).map(|row| rest_after(row).as_secs()).collect();
        assert_eq!(rests, [1, 1, 5, 10, 20, 40, 60, 60]);
        assert_eq!(rest_after(u32::MAX), LONGEST_REST);
    }
}
