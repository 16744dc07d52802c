//! Who may write. The lock says who is alive; the epoch refuses what a former leader still sends.

use crate::transaction::Tx;
use crate::writer::Write;
use crate::{Epoch, LedgerError};

/// Begins a leadership, once the lock is held.
pub(crate) struct Lead(pub(crate) String);

/// Ends the leadership whose epoch the request names.
pub(crate) struct Resign;

impl Write for Lead {
    type Answer = Epoch;

    async fn run(&mut self, tx: &mut Tx) -> Result<Epoch, LedgerError> {
        tx.state.epoch += 1;
        tx.state.holder = Some(self.0.chars().take(200).collect());
        Ok(Epoch(tx.state.epoch))
    }
}

impl Write for Resign {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        // A write of the old epoch that is still on its way comes too late from here on.
        tx.state.epoch += 1;
        tx.state.holder = None;
        Ok(())
    }
}
