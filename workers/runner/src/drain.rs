//! The end of a runner: what it still waits for, and for how long.
//!
//! Apart from the loop because it is all about time. First the running jobs have the drain limit; then
//! they are handed back; then what is not recorded has a moment for its answer. The spool keeps the rest.

use std::time::Duration;

use tokio::time::Instant;

/// How long the last answers may take once nothing runs any more.
const RECORD_LIMIT: Duration = Duration::from_secs(10);
/// The same after a hurried stop.
const HURRIED_LIMIT: Duration = Duration::from_secs(5);

/// Where the end stands.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// When running jobs are handed back.
    hand_back_at: Option<Instant>,
    /// Somebody does not want to wait for the limit.
    hurried: bool,
    handed_back: bool,
    /// When nothing is waited for any more.
    over_at: Option<Instant>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait, at most until then.
    Wait(Option<Instant>),
    /// Stop everything that runs, to hand it back.
    HandBack,
    /// Leave.
    Leave,
}

impl Ending {
    /// Begins to drain.
    pub(crate) fn drain(&mut self, now: Instant, limit: Duration) {
        // A limit beyond all clocks is none.
        self.hand_back_at = now.checked_add(limit);
    }

    /// Whether [`Ending::hurry`] was called.
    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// The drain has no more time.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.hurried = true;
        self.hand_back_at = Some(now);
        self.over_at = None;
    }

    /// `working`: something runs. `empty`: nothing is waited for at all.
    pub(crate) fn next(&mut self, now: Instant, working: bool, empty: bool) -> Next {
        if empty || self.over_at.is_some_and(|at| at <= now) {
            return Next::Leave;
        }
        if working {
            if !self.handed_back && self.hand_back_at.is_some_and(|at| at <= now) {
                self.handed_back = true;
                return Next::HandBack;
            }
            return Next::Wait(if self.handed_back { None } else { self.hand_back_at });
        }
        let limit = if self.hurried || self.handed_back { HURRIED_LIMIT } else { RECORD_LIMIT };
        let at = *self.over_at.get_or_insert(now + limit);
        Next::Wait(Some(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_jobs_have_the_limit_then_go_back_then_the_runner_leaves() {
        let start = Instant::now();
        let limit = Duration::from_secs(60);
        let mut ending = Ending::default();
        ending.drain(start, limit);
        assert_eq!(ending.next(start, true, false), Next::Wait(Some(start + limit)));
        assert_eq!(ending.next(start + limit, true, false), Next::HandBack);
        assert_eq!(ending.next(start + limit, true, false), Next::Wait(None), "said once");
        let ended = start + limit + Duration::from_secs(1);
        assert_eq!(ending.next(ended, false, false), Next::Wait(Some(ended + HURRIED_LIMIT)));
        assert_eq!(ending.next(ended + HURRIED_LIMIT, false, false), Next::Leave, "without a dispatcher too");
    }

    #[test]
    fn what_is_recorded_need_not_be_waited_for() {
        let mut ending = Ending::default();
        ending.drain(Instant::now(), Duration::MAX);
        assert_eq!(ending.next(Instant::now(), false, true), Next::Leave);
        assert_eq!(ending.next(Instant::now(), true, false), Next::Wait(None));
    }
}
