//! Sends control messages beside the work, so that no claim waits for the confirm of a beat's answer.
//!
//! May lose any of them: an addressee that is gone, or a full mailbag, is no fault. Everything that is
//! sent here is said again by the next beat's answer or after the next announcement.

use std::sync::Arc;

use broker::{Outgoing, PublishError};
use tokio::sync::mpsc;
use tracing::debug;

use crate::desk::Desk;
use crate::term::Halt;

/// As many as go out together.
const BATCH: usize = 256;

pub(crate) struct Courier {
    letters: mpsc::Sender<Outgoing>,
}

impl Courier {
    pub(crate) fn new(letters: mpsc::Sender<Outgoing>) -> Self {
        Self { letters }
    }

    pub(crate) fn take(&self, letter: Outgoing) {
        if self.letters.try_send(letter).is_err() {
            debug!("the broker takes control messages too slowly; one is left out");
        }
    }
}

pub(crate) async fn run(desk: Arc<Desk>, mut letters: mpsc::Receiver<Outgoing>) -> Result<(), Halt> {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = letters.recv_many(&mut batch, BATCH) => {}
            // After the letters: what is recorded in the last moment is still told, if the broker is quick.
            () = desk.stop.cancelled() => return Ok(()),
        }
        if batch.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = batch.iter().map(|letter| letter.key.clone()).collect();
        let results = tokio::select! {
            results = desk.broker.publish_all(std::mem::take(&mut batch)) => results,
            () = desk.stop.cancelled() => return Ok(()),
        };
        for (key, result) in keys.into_iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(PublishError::Unroutable { .. }) => debug!(key, "nobody listens there"),
                Err(cause) => debug!(key, %cause, "a control message was not sent"),
            }
        }
    }
}
