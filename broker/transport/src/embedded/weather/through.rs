//! The hold on a delivery that came through the weather: void with its connection, late with a hold.

use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use messages::Envelope;

use super::super::{Hold, Seen};
use super::End;
use crate::Settled;
use crate::consumer::{How, Settle};
use crate::error::SettleError;

/// The hold on one delivery that came through the weather.
pub(in super::super) struct Through {
    pub(in super::super) end: Weak<End>,
    pub(in super::super) generation: u64,
    pub(in super::super) inner: Box<dyn Settle>,
    pub(in super::super) queue: Arc<str>,
    pub(in super::super) envelope: Option<Envelope>,
}

impl Settle for Through {
    fn settle(self: Box<Self>, how: How) -> BoxFuture<'static, Result<Settled, SettleError>> {
        async move {
            let Some(end) = self.end.upgrade() else { return Ok(Settled::Void) };
            {
                let mut state = end.state();
                if state.closed || state.generation != self.generation || state.broken.is_cancelled() {
                    return Ok(Settled::Void);
                }
                if state.hold.is_some_and(|hold| hold != Hold::FromBroker) {
                    state.pending.push((self.inner, how));
                    return Ok(Settled::Done);
                }
            }
            if how == How::Ack && end.sky.strikes("ack lost", |climate| climate.lose_ack) {
                end.cut("the connection was reset");
                return Ok(Settled::Done);
            }
            let word = match how {
                How::Ack => "ack",
                How::Requeue => "requeue",
                How::DeadLetter { .. } => "dead letter",
            };
            if let Some(envelope) = &self.envelope
                && end.sky.see(&Seen::Settled { by: &end.role.name, queue: &self.queue, envelope, how: word })
            {
                end.die().await;
            }
            self.inner.settle(how).await
        }
        .boxed()
    }
}
