//! What became of attempts that ended lately, so that beats which still list them get the same answer.
//!
//! A bounded memory and no truth: for an attempt that has left it the runner is asked for its result
//! again, and the ledger says the same as before.

use std::collections::{HashMap, VecDeque};

use messages::{AttemptNumber, JobId, Order};

/// One attempt of one job.
pub(crate) type AttemptKey = (JobId, AttemptNumber);

/// Enough for the beats of some minutes at full speed.
const MOST: usize = 20_000;

#[derive(Debug, Default)]
pub(crate) struct Settled {
    orders: HashMap<AttemptKey, Order>,
    oldest_first: VecDeque<AttemptKey>,
}

impl Settled {
    /// What the runner is told from now on. A recorded result stays recorded, whatever is said later.
    pub(crate) fn note(&mut self, attempt: AttemptKey, order: Order) {
        if self.order(attempt) == Some(Order::Recorded) {
            return;
        }
        if self.orders.insert(attempt, order).is_some() {
            return;
        }
        self.oldest_first.push_back(attempt);
        if self.oldest_first.len() > MOST
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.orders.remove(&oldest);
        }
    }

    pub(crate) fn order(&self, attempt: AttemptKey) -> Option<Order> {
        self.orders.get(&attempt).copied()
    }
}
