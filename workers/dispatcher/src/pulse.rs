//! How a dispatcher stands, for health pages: it waits for the lead, or leads and its clock goes.
//!
//! A tick that comes back has passed broker, reply queue and every earlier message in it, so it is the one
//! sign that all of this works. Must not know: who looks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So long a leading dispatcher may go without a tick of its own. A locked ledger holds a batch up for 5 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shared by one dispatcher and whoever looks after it.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Last {
    /// It does not lead; whether that is right is told by the ledger.
    #[default]
    Waiting,
    Leading {
        tick: Instant,
    },
}

impl Pulse {
    /// What is wrong with the dispatcher, as far as broker and ledger do not explain it.
    pub fn fault(&self) -> Option<String> {
        self.fault_at(Instant::now())
    }

    fn fault_at(&self, now: Instant) -> Option<String> {
        let Last::Leading { tick } = *self.lock() else { return None };
        let silence = now.duration_since(tick);
        (silence > PATIENCE)
            .then(|| format!("leads and does not get on: no tick came back for {} s", silence.as_secs()))
    }

    pub(crate) fn waits(&self) {
        *self.lock() = Last::Waiting;
    }

    /// It begins to lead, a tick has come back, or none could come back until now.
    pub(crate) fn beats(&self) {
        *self.lock() = Last::Leading { tick: Instant::now() };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_whose_ticks_stay_away_is_told_and_a_standby_is_not() {
        let pulse = Pulse::default();
        let later = Instant::now() + PATIENCE + Duration::from_secs(2);
        assert_eq!(pulse.fault_at(later), None, "it waits for the lead");
        pulse.beats();
        assert_eq!(pulse.fault(), None);
        assert!(pulse.fault_at(later).is_some_and(|fault| fault.contains("no tick came back")));
        pulse.waits();
        assert_eq!(pulse.fault_at(later), None, "who gave the lead up is judged by the ledger");
    }
}
