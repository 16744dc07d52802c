//! A TCP proxy that does to connections what networks do: it delays, starves, slices, swallows, cuts and refuses.
//!
//! Apart from the stories, because several suites put it between the roles and a broker. Knows nothing of AMQP: it
//! sees bytes. One proxy per role lets a test cut off that role alone.
//!
//! ```no_run
//! # async fn story(broker: std::net::SocketAddr) -> std::io::Result<()> {
//! use fault_proxy::{End, Proxy, Rule, Rules};
//!
//! let proxy = Proxy::start(broker).await?;
//! // Clients connect to `proxy.address()`. What they say arrives, what they are told does not:
//! proxy.set(Rules { to_client: Rule::black_hole(), ..Rules::default() });
//! proxy.end_all(End::Reset);
//! proxy.heal().await;
//! # Ok(()) }
//! ```

mod connection;
mod door;
mod pump;
mod rule;

pub use connection::{Connection, End};
pub use rule::{Direction, Rule, Rules};

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connection::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// One proxy in front of one server. Ends with its last connection when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    inner: Arc<Inner>,
    door: AbortHandle,
}

#[derive(Debug)]
pub(crate) struct Inner {
    address: SocketAddr,
    /// Whether the door shall be open, and whether it is.
    wanted_open: watch::Sender<bool>,
    is_open: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    server: SocketAddr,
    /// For connections to come.
    rules: Rules,
    next: u64,
    open: BTreeMap<u64, Handle>,
}

impl Proxy {
    /// Starts a proxy on a free port of the loopback, in the current runtime.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = door::anywhere().await?;
        let inner = Arc::new(Inner {
            address: listener.local_addr()?,
            wanted_open: watch::Sender::new(true),
            is_open: watch::Sender::new(true),
            state: Mutex::new(State { server, rules: Rules::default(), next: 1, open: BTreeMap::new() }),
        });
        let door = tokio::spawn(door::keep(Arc::clone(&inner), listener)).abort_handle();
        Ok(Self { inner, door })
    }

    /// Where clients connect instead of to the server.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// A URL of the server as it reads through this proxy.
    pub fn instead_of(&self, url: &str) -> String {
        url.replace(&self.inner.state().server.to_string(), &self.address().to_string())
    }

    /// Sends connections to come to another server.
    pub fn forward_to(&self, server: SocketAddr) {
        self.inner.state().server = server;
    }

    /// Sets what happens to every connection, those to come included.
    pub fn set(&self, rules: Rules) {
        let mut state = self.inner.state();
        state.rules = rules;
        for connection in state.open.values() {
            connection.rules.send_replace(rules);
        }
    }

    /// Sets what happens to one connection; false if it is over.
    pub fn set_one(&self, id: u64, rules: Rules) -> bool {
        let state = self.inner.state();
        state.open.get(&id).map(|connection| connection.rules.send_replace(rules)).is_some()
    }

    /// Every connection that is open now, oldest first.
    pub fn connections(&self) -> Vec<Connection> {
        self.inner.state().open.iter().map(|(id, handle)| handle.seen(*id)).collect()
    }

    /// Ends every open connection.
    pub fn end_all(&self, how: End) {
        for connection in self.inner.state().open.values() {
            connection.end.send_replace(Some(how));
        }
    }

    /// Ends one connection; false if it is over.
    pub fn end(&self, id: u64, how: End) -> bool {
        let state = self.inner.state();
        state.open.get(&id).map(|connection| connection.end.send_replace(Some(how))).is_some()
    }

    /// Resets each open connection as soon as so many more bytes have gone in that direction.
    pub fn cut_all_after(&self, direction: Direction, more: u64) {
        for connection in self.inner.state().open.values() {
            connection.cut_after(direction, more);
        }
    }

    /// [`Proxy::cut_all_after`] for one connection; false if it is over.
    pub fn cut_after(&self, id: u64, direction: Direction, more: u64) -> bool {
        let state = self.inner.state();
        state.open.get(&id).map(|connection| connection.cut_after(direction, more)).is_some()
    }

    /// Closes the door: whoever connects now is refused. Open connections go on.
    pub async fn refuse(&self) {
        self.inner.turn_door(false).await;
    }

    /// Opens the door again.
    pub async fn accept(&self) {
        self.inner.turn_door(true).await;
    }

    /// Takes every fault away. Connections that a fault ended stay ended.
    pub async fn heal(&self) {
        self.set(Rules::default());
        self.accept().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.door.abort();
        self.end_all(End::Reset);
    }
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; a half-made change cannot be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn_door(&self, open: bool) {
        let mut is_open = self.is_open.subscribe();
        self.wanted_open.send_replace(open);
        // Fails only if the runtime ends, and then nobody waits.
        drop(is_open.wait_for(|is| *is == open).await);
    }
}
