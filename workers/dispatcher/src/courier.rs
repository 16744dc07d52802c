//! Sends control messages beside the work, so that no claim waits for the confirm of a beat's answer.
//!
//! May lose any of them: an addressee that is gone, or a full mailbag, is no fault. Everything that is
//! sent here is said again by the next beat's answer or after the next announcement.

use std::sync::Arc;
use std::time::Duration;

use broker::{Outgoing, PublishError};
use messages::RunnerName;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::debug;

use crate::desk::Desk;
use crate::term::Halt;

/// As many as go out together.
const BATCH: usize = 256;
/// What is still to be said at the end may take this long: it spares observers a second announcement.
const LAST_CHANCE: Duration = Duration::from_millis(500);

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
        let received = tokio::select! {
            biased;
            received = letters.recv_many(&mut batch, BATCH) => received,
            () = desk.stop.cancelled() => 0,
        };
        if received == 0 {
            return Ok(());
        }
        let keys: Vec<_> = batch.iter().map(|letter| letter.key.clone()).collect();
        let breaks = desk.board().breaks();
        let stopping = async {
            desk.stop.cancelled().await;
            sleep(LAST_CHANCE).await;
        };
        let results = tokio::select! {
            biased;
            results = desk.broker.publish_all(std::mem::take(&mut batch)) => results,
            () = stopping => return Ok(()),
        };
        let mut there = Vec::new();
        for (key, result) in keys.into_iter().zip(results) {
            match result {
                Ok(()) => there.extend(runner_of(&key)),
                Err(PublishError::Unroutable { .. }) => debug!(key, "nobody listens there"),
                Err(cause) => debug!(key, %cause, "a control message was not sent"),
            }
        }
        desk.board().see(&there, breaks);
    }
}

/// Whom a control message has reached, if it was for one runner.
fn runner_of(key: &str) -> Option<RunnerName> {
    key.strip_prefix("runner.")?.parse().ok()
}
