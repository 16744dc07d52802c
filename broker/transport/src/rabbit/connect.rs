//! The supervisor: one task per broker that connects for ever and says how it stands.
//!
//! lapin's own recovery stays off: it does not cover a closed channel, voids held deliveries without a
//! word, and gives up. Here one code path rebuilds everything: both connections fall together, a new
//! generation stands up, and whoever needs a channel asks the session for one. Must not know: queues'
//! consumers, publishes.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use lapin::ConnectionProperties;
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::session::{CLOSED, Session, Shared, code, words};
use super::{declare, greeting};
use crate::error::RefusedError;
use crate::{Link, Role};

/// How long the broker may take for its greeting, and again for both handshakes.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// The first delay after the first failure; doubled up to the longest.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A connection that lived this long was a good one, and the next try comes at once.
const GOOD_LIFE: Duration = Duration::from_secs(5);
/// The same line is not logged more often than this.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// lapin tells of nearly every end of a connection; this finds the rest. One read of a flag.
const WATCHDOG: Duration = Duration::from_secs(1);
/// How long a peer may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// After this lapin has missed two heartbeats and let go of a connection whose peer is silent.
const BURIAL: Duration = Duration::from_secs(20);

enum Failure {
    Refused(RefusedError),
    Unreachable(String),
}

/// Connects and keeps connecting, until the broker is closed.
pub(super) async fn supervise(shared: Arc<Shared>, address: Address, role: Role) {
    let mut notices = Notices::default();
    let mut delay = Duration::ZERO;
    let mut generation = 0;
    loop {
        let attempt = tokio::select! {
            biased;
            () = shared.closing.cancelled() => break,
            attempt = connect(&address, &role) => attempt,
        };
        match attempt {
            Ok((publish, consume, version)) => {
                generation += 1;
                let session = Arc::new(Session { generation, publish, consume });
                let since = Instant::now();
                let why = live(&shared, &session, &address, &role, &version).await;
                shared.session.send_replace(None);
                shared.link.send_replace(Link::Down { why: why.clone() });
                if shared.closing.is_cancelled() {
                    goodbye(&session).await;
                    break;
                }
                tracing::warn!("lost the broker at {}: {why}", address.at);
                notices = Notices::default();
                tokio::spawn(bury(session));
                if since.elapsed() >= GOOD_LIFE {
                    delay = Duration::ZERO;
                }
            }
            Err(failure) => {
                let why = match failure {
                    Failure::Unreachable(why) => why,
                    Failure::Refused(refused) => {
                        let why = refused.to_string();
                        if generation == 0 {
                            shared.refused.send_replace(Some(refused));
                        }
                        why
                    }
                };
                notices.waiting(&address.at, &why);
                shared.link.send_replace(Link::Down { why });
            }
        }
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => break,
            () = sleep(delay.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
        delay = (delay * 2).clamp(SHORTEST_DELAY, LONGEST_DELAY);
    }
    shared.session.send_replace(None);
    shared.link.send_replace(Link::Down { why: CLOSED.to_owned() });
}

async fn connect(address: &Address, role: &Role) -> Result<(lapin::Connection, lapin::Connection, String), Failure> {
    let late = |_| Failure::Unreachable(format!("no answer within {CONNECT_DEADLINE:?}"));
    let version = timeout(CONNECT_DEADLINE, greeting::version(&address.uri))
        .await
        .map_err(late)?
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    if !greeting::is_new_enough(&version) {
        return Err(Failure::Refused(RefusedError::TooOld { at: address.at.clone(), version }));
    }
    let open = |purpose: &str| {
        let name = format!("thump {} ({purpose}) {} pid {}", role.name, host_name(), std::process::id());
        lapin::Connection::connect_uri(
            address.uri.clone(),
            ConnectionProperties::default().with_connection_name(name.into()),
        )
    };
    let both = async { tokio::try_join!(open("publish"), open("consume")) };
    let (publish, consume) =
        timeout(CONNECT_DEADLINE, both).await.map_err(late)?.map_err(|error| refusal(address, &error))?;
    Ok((publish, consume, version))
}

/// Tells what waiting may mend from what it will not.
fn refusal(address: &Address, error: &lapin::Error) -> Failure {
    const ACCESS_REFUSED: u16 = 403;
    const NOT_ALLOWED: u16 = 530;
    let (at, user, why) = (address.at.clone(), address.user().to_owned(), words(error));
    match code(error) {
        Some(ACCESS_REFUSED) => Failure::Refused(RefusedError::Credentials { at, user }),
        // A virtual host that has all the connections it may have is refused with the same code.
        Some(NOT_ALLOWED) if !why.contains("limit") => {
            Failure::Refused(RefusedError::VirtualHost { at, vhost: address.uri.vhost.clone(), user, why })
        }
        _ => Failure::Unreachable(why),
    }
}

/// The life of one session, from the moment it stands. Returns why it ended.
async fn live(shared: &Shared, session: &Arc<Session>, address: &Address, role: &Role, version: &str) -> String {
    // The one listener of each connection: several would share the events between them.
    let mut publish_events = std::pin::pin!(session.publish.events_listener());
    let mut consume_events = std::pin::pin!(session.consume.events_listener());
    if role.declares_topology {
        match timeout(CONNECT_DEADLINE, declare::exchanges(session)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{error}"),
            Err(_) => return "the broker did not answer while the exchanges were declared".to_owned(),
        }
    }
    let generation = session.generation;
    tracing::info!("connected to RabbitMQ {version} at {}", address.at);
    shared.refused.send_replace(None);
    shared.session.send_replace(Some(Arc::clone(session)));
    shared.link.send_replace(Link::Up { generation });
    if session.publish.status().blocked() {
        block(shared, generation, "an alarm".to_owned());
    }
    let mut watchdog = tokio::time::interval(WATCHDOG);
    loop {
        let mut last_words = None;
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return CLOSED.to_owned(),
            event = publish_events.next() => match event {
                Some(lapin::Event::ConnectionBlocked(why)) => block(shared, generation, why),
                Some(lapin::Event::ConnectionUnblocked) => {
                    tracing::info!("the broker takes publishes again");
                    shared.link.send_replace(Link::Up { generation });
                }
                Some(lapin::Event::Error(error)) => last_words = Some(words(&error)),
                _ => {}
            },
            error = next_error(consume_events.as_mut()) => last_words = Some(words(&error)),
            _ = watchdog.tick() => {}
        }
        // A channel's error is told here too, and leaves the connection as it is.
        if !session.publish.status().connected() || !session.consume.status().connected() {
            return last_words.unwrap_or_else(|| "the connection was closed".to_owned());
        }
    }
}

fn block(shared: &Shared, generation: u64, why: String) {
    tracing::warn!("the broker takes no publishes ({why}); deliveries and acks go on");
    shared.link.send_replace(Link::Blocked { generation, why });
}

async fn next_error(mut events: std::pin::Pin<&mut impl Stream<Item = lapin::Event>>) -> lapin::Error {
    while let Some(event) = events.next().await {
        if let lapin::Event::Error(error) = event {
            return error;
        }
    }
    std::future::pending().await
}

/// Ends a session in order.
async fn goodbye(session: &Session) {
    for connection in [&session.consume, &session.publish] {
        // One that is lost already, or too slow, ends with the process at the latest.
        timeout(GOODBYE, connection.close(200, "goodbye".into())).await.ok();
    }
}

/// Ends what is left of a session of which one connection is lost. A peer that answers is told; one
/// that is silent is left to its heartbeat, because lapin stops that when it says goodbye and would
/// wait for the answer for ever.
async fn bury(session: Arc<Session>) {
    for connection in [&session.consume, &session.publish] {
        if connection.status().connected() {
            match timeout(GOODBYE, connection.create_channel()).await {
                Ok(_) => drop(timeout(GOODBYE, connection.close(200, "the other connection was lost".into())).await),
                Err(_) => sleep(BURIAL).await,
            }
        }
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "unknown host".to_owned())
}

/// Says each thing once, and again after a while if it still holds.
#[derive(Default)]
struct Notices {
    last: Option<(String, Instant)>,
}

impl Notices {
    fn waiting(&mut self, at: &str, why: &str) {
        let stale = |(said, when): &(String, Instant)| said != why || when.elapsed() >= REPEAT_AFTER;
        if self.last.as_ref().is_none_or(stale) {
            tracing::warn!("waiting for the broker at {at}: {why}");
            self.last = Some((why.to_owned(), Instant::now()));
        }
    }
}
