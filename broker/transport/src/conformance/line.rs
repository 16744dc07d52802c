//! A line to the broker that can be cut and mended: what a client's death or a pulled cable is on the wire.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Carries connections from a port of its own to the broker.
pub(super) struct Line {
    state: watch::Sender<State>,
    port: u16,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy)]
enum State {
    Whole,
    /// Connections stand and nothing goes through them.
    Silent,
    Cut,
}

impl Line {
    pub(super) async fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (state, of_line) = watch::channel(State::Whole);
        Self { state, port, accepting: tokio::spawn(accept(listener, broker, of_line)) }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection at once and lets no new one through.
    pub(super) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Ends nothing and carries nothing, as a firewall that forgot the connection does.
    pub(super) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(super) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(carry(near, broker, state.clone()));
    }
}

/// Returns, and closes both sockets in the middle of whatever they carried, when the line is cut.
async fn carry(mut near: TcpStream, broker: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(mut far) = TcpStream::connect(broker).await else { return };
    for end in [&near, &far] {
        end.set_nodelay(true).expect("an open socket");
    }
    let mut copy = std::pin::pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        let now = *state.borrow_and_update();
        let changed = match now {
            State::Cut => return,
            State::Silent => state.changed().await,
            State::Whole => tokio::select! {
                _ended = &mut copy => return,
                changed = state.changed() => changed,
            },
        };
        if changed.is_err() {
            return;
        }
    }
}
