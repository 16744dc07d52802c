//! Signals as two requests: the first one drains, the second one stops at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two requests. Clones share them.
#[derive(Clone)]
pub(crate) struct Shutdown {
    /// Finish what runs, take nothing new.
    pub(crate) drain: CancellationToken,
    /// Give back what runs.
    pub(crate) now: CancellationToken,
}

impl Shutdown {
    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// The system gives no signal handler.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let shutdown = Self { drain: CancellationToken::new(), now: CancellationToken::new() };
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let requests = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if requests.drain.is_cancelled() {
                    tracing::warn!("second stop signal: giving back what runs");
                    requests.now.cancel();
                } else {
                    tracing::warn!("stop signal: draining; a second one gives running jobs back at once");
                    requests.drain.cancel();
                }
            }
        });
        Ok(shutdown)
    }
}
