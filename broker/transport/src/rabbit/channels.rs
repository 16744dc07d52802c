//! The pooled channels on which messages are published.
//!
//! The pool keeps what is still good: of the present session, open, and with nothing unsettled on it.
//! Consumers are never pooled. Must not know: messages.

use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use lapin::Channel;
use lapin::options::ConfirmSelectOptions;

use super::session::{Shared, words};

/// Makes and checks the pooled channels.
pub(super) struct Channels {
    shared: Arc<Shared>,
}

impl Channels {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// A channel in confirm mode. Whoever has it has it alone.
pub(super) struct ConfirmChannel {
    pub(super) channel: Channel,
    /// The session it belongs to.
    pub(super) generation: u64,
    /// Whether a confirm may still be open on it, or it was told that a queue is full: RabbitMQ keeps
    /// that per channel, and the word that there is room again can be a long time coming.
    pub(super) spent: bool,
}

impl Manager for Channels {
    type Type = ConfirmChannel;
    type Error = String;

    async fn create(&self) -> Result<ConfirmChannel, String> {
        let session = self.shared.publishing()?;
        let channel = session.publish.create_channel().await.map_err(|error| words(&error))?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| words(&error))?;
        Ok(ConfirmChannel { channel, generation: session.generation, spent: false })
    }

    async fn recycle(&self, used: &mut ConfirmChannel, _: &Metrics) -> RecycleResult<String> {
        let now = self.shared.session().map(|session| session.generation);
        if used.spent || now != Ok(used.generation) || !used.channel.status().connected() {
            return Err(RecycleError::message("the channel has ended"));
        }
        Ok(())
    }
}
