//! A line to the broker that can be cut and mended: what a client's death or a pulled cable is on the wire.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Carries connections from a port of its own to the broker, as long as it is whole.
pub(super) struct Line {
    whole: watch::Sender<bool>,
    port: u16,
    accepting: JoinHandle<()>,
}

impl Line {
    pub(super) async fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (whole, of_line) = watch::channel(true);
        Self { whole, port, accepting: tokio::spawn(accept(listener, broker, of_line)) }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection at once and lets no new one through.
    pub(super) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(super) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, whole: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        if *whole.borrow() {
            tokio::spawn(carry(near, broker, whole.clone()));
        }
    }
}

async fn carry(mut near: TcpStream, broker: SocketAddr, mut whole: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(broker).await else { return };
    for end in [&near, &far] {
        end.set_nodelay(true).expect("an open socket");
    }
    tokio::select! {
        // Either way both sockets close here, in the middle of whatever they carried.
        _ended = copy_bidirectional(&mut near, &mut far) => {}
        _cut = whole.wait_for(|whole| !whole) => {}
    }
}
