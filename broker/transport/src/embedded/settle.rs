//! What deliveries and consumers keep of the broker: enough to give back, too little to keep it alive.

use std::sync::{Mutex, Weak};

use futures::future::{BoxFuture, FutureExt};

use super::queues::ConsumerId;
use super::state::{State, Tag, locked};
use crate::Settled;
use crate::consumer::{ControlConsumer, How, Settle};
use crate::error::SettleError;

/// The hold on one delivery.
pub(super) struct Hold {
    state: Weak<Mutex<State>>,
    tag: Tag,
}

impl Hold {
    pub(super) fn new(state: Weak<Mutex<State>>, tag: Tag) -> Self {
        Self { state, tag }
    }
}

impl Settle for Hold {
    fn settle(self: Box<Self>, how: How) -> BoxFuture<'static, Result<Settled, SettleError>> {
        // Lazy on purpose: a delivery may be dropped while the lock is held, and its drop spawns this.
        async move {
            match self.state.upgrade() {
                Some(state) => locked(&state, |state| state.settle(self.tag, &how)),
                None => Ok(Settled::Void),
            }
        }
        .boxed()
    }
}

/// The hold on one consumer.
pub(super) struct Consuming {
    pub(super) state: Weak<Mutex<State>>,
    pub(super) id: ConsumerId,
}

impl ControlConsumer for Consuming {
    fn stop(&self) -> BoxFuture<'_, ()> {
        async {
            if let Some(state) = self.state.upgrade() {
                locked(&state, |state| state.stop(self.id));
            }
        }
        .boxed()
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            locked(&state, |state| state.end_consumer(self.id));
        }
    }
}
