//! The dispatcher's answers: one control queue per observer, told to every repository's task.

use std::sync::Arc;

use broker::{Broker, Event, Listener};
use messages::{Incarnation, ObserverName, Recorded};
use tokio::sync::{broadcast, watch};
use tracing::{debug, warn};

/// Room for answers that a busy task has not read yet. One that falls behind loses them, and announces
/// again what they were about.
const ROOM: usize = 1024;

/// Whether answers can arrive, and how many times that began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) up: bool,
    pub(crate) times: u64,
}

/// Where the tasks subscribe.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) recorded: broadcast::Sender<Arc<Recorded>>,
    pub(crate) line: watch::Sender<Line>,
}

impl Post {
    pub(crate) fn new() -> Self {
        Self { recorded: broadcast::Sender::new(ROOM), line: watch::Sender::new(Line::default()) }
    }

    /// Listens until the connection is closed for good. Dropping the future ends the control queue.
    pub(crate) async fn deliver(&self, broker: &Broker, name: ObserverName, incarnation: Incarnation) {
        let mut control = broker.listen(Listener::Observer { name, incarnation });
        while let Some(event) = control.next().await {
            match event {
                Event::Resumed => self.line.send_modify(|line| *line = Line { up: true, times: line.times + 1 }),
                Event::Interrupted { why } => {
                    debug!(why, "no answers can arrive");
                    self.line.send_modify(|line| line.up = false);
                }
                Event::Delivery(delivery) => {
                    let opened = delivery.envelope.as_ref().map_err(Clone::clone);
                    match opened.and_then(|envelope| envelope.open::<Recorded>()) {
                        // Nobody subscribed means that there is nothing to answer.
                        Ok(recorded) => drop(self.recorded.send(Arc::new(recorded))),
                        Err(cause) => warn!(%cause, "a control message is not understood and left out"),
                    }
                    delivery.ack().await;
                }
            }
        }
        self.line.send_modify(|line| line.up = false);
    }
}
