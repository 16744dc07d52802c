//! Where clients come in, and where they are refused.
//!
//! A closed door is a closed port, so that clients see a refusal and not a connection that breaks at once. The port is
//! never one of the range that the kernel gives to outgoing connections: a client that retries against a closed port
//! of that range ends up, sooner or later, connected to itself, and then the door cannot be opened again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::Inner;
use crate::connection::Handle;

const LOWEST: u16 = 10_240;
/// Linux's default start of the outgoing range.
const OUTGOING_FROM: u16 = 32_768;
const TRIES: usize = 1_000;
const BACKLOG: u32 = 128;
const PAUSE: Duration = Duration::from_millis(20);

/// Listens on a port that nobody uses.
pub(crate) async fn anywhere() -> io::Result<TcpListener> {
    for _ in 0..TRIES {
        let port = rand::rng().random_range(LOWEST..OUTGOING_FROM);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn again(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Opens and closes the door as is wanted, and lets clients in.
pub(crate) async fn keep(proxy: Arc<Inner>, listener: TcpListener) {
    let mut wanted = proxy.wanted_open.subscribe();
    let mut door = Some(listener);
    loop {
        let open = *wanted.borrow_and_update();
        if !open {
            door = None;
        } else if door.is_none() {
            door = again(proxy.address).ok();
        }
        proxy.is_open.send_replace(door.is_some());
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            // The port is in use for a moment longer.
            () = tokio::time::sleep(PAUSE), if open && door.is_none() => {}
            client = enter(door.as_ref()) => if let Some(client) = client { welcome(&proxy, client) },
        }
    }
}

async fn enter(door: Option<&TcpListener>) -> Option<TcpStream> {
    match door {
        Some(door) => match door.accept().await {
            Ok((client, _)) => Some(client),
            Err(_) => {
                // Out of descriptors, most likely: not in a loop.
                tokio::time::sleep(PAUSE).await;
                None
            }
        },
        None => std::future::pending().await,
    }
}

fn welcome(proxy: &Arc<Inner>, client: TcpStream) {
    let mut state = proxy.state();
    let id = state.next;
    state.next += 1;
    let handle = Handle::new(state.rules);
    let work = handle.carry(client, state.server);
    state.open.insert(id, handle);
    drop(state);
    let proxy = Arc::clone(proxy);
    tokio::spawn(async move {
        work.await;
        proxy.state().open.remove(&id);
    });
}
