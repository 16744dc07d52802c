//! What every part of this back-end shares: the connections of this moment, and what they are doing.
//!
//! Apart from the supervisor, which alone writes it, so that publishers and consumers cannot.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Link;
use crate::error::RefusedError;

/// One pair of connections. A new one replaces it as a whole.
pub(super) struct Session {
    /// Counts from 1. Deliveries and channels of another generation are void.
    pub(super) generation: u64,
    /// Publishes, questions and their answers. An alarm of the broker blocks all of it.
    pub(super) publish: lapin::Connection,
    /// Deliveries and acks, which an alarm must not stop. Nothing is ever published here.
    pub(super) consume: lapin::Connection,
}

/// The state of the link for people, for the roles, and for the parts of this back-end.
pub(super) struct Shared {
    pub(super) link: watch::Sender<Link>,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    /// Why the first connection will not stand, as long as there never was one.
    pub(super) refused: watch::Sender<Option<RefusedError>>,
    /// Cancelled when the broker is closed for good.
    pub(super) closing: CancellationToken,
}

/// Why a role is told that the link is down for good.
pub(super) const CLOSED: &str = "this connection was closed";

impl Shared {
    pub(super) fn new() -> Self {
        let link = Link::Down { why: "not connected yet".to_owned() };
        Self {
            link: watch::Sender::new(link),
            session: watch::Sender::new(None),
            refused: watch::Sender::new(None),
            closing: CancellationToken::new(),
        }
    }

    /// The session of this moment.
    ///
    /// # Errors
    /// What the link says while there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, String> {
        self.session.borrow().clone().ok_or_else(|| match &*self.link.borrow() {
            Link::Down { why } => why.clone(),
            // The session is set before the link goes up and taken before it goes down.
            Link::Up { .. } | Link::Blocked { .. } => "connecting".to_owned(),
        })
    }

    /// The session to publish on.
    ///
    /// # Errors
    /// What the link says while there is none or the broker takes no publishes.
    pub(super) fn publishing(&self) -> Result<Arc<Session>, String> {
        if let Link::Blocked { why, .. } = &*self.link.borrow() {
            return Err(blocked(why));
        }
        self.session()
    }

    /// Returns, with what the link says, as soon as the broker takes no publishes of `generation`.
    pub(super) async fn not_publishing(&self, generation: u64) -> String {
        let mut link = self.link.subscribe();
        let seen = link.wait_for(|link| !matches!(link, Link::Up { generation: now } if *now == generation)).await;
        match seen.as_deref() {
            Ok(Link::Down { why }) => why.clone(),
            Ok(Link::Blocked { why, .. }) => blocked(why),
            Ok(Link::Up { .. }) => "the connection was replaced".to_owned(),
            Err(_) => CLOSED.to_owned(),
        }
    }

    /// Returns as soon as `generation` is no longer the one that counts.
    pub(super) async fn replaced(&self, generation: u64) {
        let mut session = self.session.subscribe();
        let other = |now: &Option<Arc<Session>>| now.as_ref().is_none_or(|now| now.generation != generation);
        // An error means that everything ends.
        session.wait_for(other).await.ok();
    }

    /// Waits for a session.
    pub(super) async fn connected(&self) -> Arc<Session> {
        let mut sessions = self.session.subscribe();
        loop {
            if let Some(session) = sessions.borrow_and_update().clone() {
                return session;
            }
            if sessions.changed().await.is_err() {
                // `self` holds the sender, so this cannot be; and there is nothing to wait for.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn blocked(why: &str) -> String {
    format!("it blocks publishers: {why}")
}

/// An error of lapin in the broker's own words, as far as it has some.
pub(super) fn words(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => error.get_message().as_str().to_owned(),
        lapin::ErrorKind::MissingHeartbeatError => "the broker was silent for two heartbeats".to_owned(),
        lapin::ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// The reply code of AMQP 0-9-1, section 1.1, if the broker sent one: 403, 404, 406 and so on.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}
