//! One connection: two sockets, a pump for each direction, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::pump::pump;
use crate::rule::{Direction, Rules};

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Orderly: both sides read to the end of what has arrived.
    Close,
    /// A reset on both sides, as after a crash of the machine between them.
    Reset,
}

/// A connection as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its number; it is given to no other connection of this proxy.
    pub id: u64,
    /// How many bytes the server was given.
    pub to_server: u64,
    /// How many bytes the client was given.
    pub to_client: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Passed {
    to_server: AtomicU64,
    to_client: AtomicU64,
}

/// The means to reach a connection from outside its task.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) rules: watch::Sender<Rules>,
    pub(crate) end: watch::Sender<Option<End>>,
    passed: Arc<Passed>,
}

impl Handle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules: watch::Sender::new(rules), end: watch::Sender::new(None), passed: Arc::default() }
    }

    pub(crate) fn seen(&self, id: u64) -> Connection {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Connection { id, to_server: count(&self.passed.to_server), to_client: count(&self.passed.to_client) }
    }

    pub(crate) fn cut_after(&self, direction: Direction, more: u64) {
        let seen = self.seen(0);
        let gone = match direction {
            Direction::ToServer => seen.to_server,
            Direction::ToClient => seen.to_client,
        };
        self.rules.send_modify(|rules| rules.of_mut(direction).cut_at = Some(gone + more));
    }

    /// Carries the connection to its end. What it needs is taken now; the handle may go.
    pub(crate) fn carry(&self, client: TcpStream, server: SocketAddr) -> impl Future<Output = ()> + Send + use<> {
        carry(client, server, self.rules.subscribe(), self.end.subscribe(), Arc::clone(&self.passed))
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    rules: watch::Receiver<Rules>,
    mut end: watch::Receiver<Option<End>>,
    passed: Arc<Passed>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        // As if the server itself had refused, as far as one who is already connected can tell.
        drop(client.set_zero_linger());
        return;
    };
    // Slices shall arrive as slices.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let how = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let to_server = pump(&mut from_client, &mut to_server, Direction::ToServer, rules.clone(), &passed.to_server);
        let to_client = pump(&mut from_server, &mut to_client, Direction::ToClient, rules, &passed.to_client);
        tokio::select! {
            over = async { tokio::try_join!(to_server, to_client) } => {
                if over.is_ok() { End::Close } else { End::Reset }
            }
            how = end.wait_for(Option::is_some) => how.ok().and_then(|how| *how).unwrap_or(End::Reset),
        }
    };
    if how == End::Reset {
        // Fails only on sockets that are dead already.
        drop(client.set_zero_linger());
        drop(server.set_zero_linger());
    }
}
