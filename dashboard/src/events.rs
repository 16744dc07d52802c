//! The change feed as server-sent events (WHATWG HTML, section "Server-sent events").
//!
//! One event says that something changed, not how: the reader asks for the row it shows. Its id is the
//! change's number, so a dropped connection resumes without a gap. An event without a number says that the
//! page's banner is out of date: while somebody reads, faults are looked for.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream;
use store::Change;

use crate::Desk;
use crate::error::Problem;

/// The most readers of the feed at once.
pub(crate) const MOST_STREAMS: usize = 256;
const BATCH: u32 = 100;
/// How often faults are looked for while somebody reads.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) async fn events(
    State(desk): State<Desk>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = desk.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::of(StatusCode::SERVICE_UNAVAILABLE, "too many readers follow the feed"))?;
    let changes = desk.ledger.changes();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse::<i64>().ok());
    let seen = last.unwrap_or_else(|| *changes.borrow());
    let faults = desk.health.at_a_glance().await.faults;
    let reader = Reader { desk, changes, seen, gathered: Vec::new(), faults, _place: place };
    let feed = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(feed).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Reader {
    desk: Desk,
    changes: tokio::sync::watch::Receiver<i64>,
    seen: i64,
    /// Newest first, so that the oldest is taken from the end.
    gathered: Vec<Change>,
    /// What the reader's banner says, if it obeys.
    faults: Vec<String>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(change) = self.gathered.pop() {
                self.seen = change.number;
                let event = Event::default().id(change.number.to_string()).event("change").json_data(&change.subject);
                return Some(event.unwrap_or_default());
            }
            self.changes.borrow_and_update();
            match self.desk.ledger.changes_since(self.seen, BATCH).await {
                Ok(mut changes) => {
                    changes.reverse();
                    self.gathered = changes;
                }
                Err(cause) => {
                    tracing::warn!("read the change feed: {cause}");
                    return None;
                }
            }
            if self.gathered.is_empty() {
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    () = self.desk.stop.cancelled() => return None,
                    () = tokio::time::sleep(LOOK) => {
                        let faults = self.desk.health.now().await.faults;
                        if faults != self.faults {
                            self.faults = faults;
                            return Some(Event::default().event("change").data("{}"));
                        }
                    }
                }
            }
        }
    }
}
