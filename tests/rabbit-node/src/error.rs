//! Everything that can go wrong with a node, in words a person at a terminal can act on.

use std::{io, path::PathBuf};

/// Why a node could not be started, changed or asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No server on this machine.
    #[error(
        "RabbitMQ is not installed: run `tests/run` once, which installs it, or install the package rabbitmq-server \
         (the server script {missing:?} was found neither in Debian's folders nor on PATH)"
    )]
    NotInstalled {
        /// The program that is missing.
        missing: &'static str,
    },
    /// The server ended before it answered.
    #[error("RabbitMQ ended while it booted; its last words:\n{last_words}")]
    BootFailed {
        /// The end of what it wrote.
        last_words: String,
    },
    /// The server neither answered nor ended in time.
    #[error("RabbitMQ did not answer within {seconds} s of its start; its last words:\n{last_words}")]
    BootTimedOut {
        /// How long it was waited for.
        seconds: u64,
        /// The end of what it wrote.
        last_words: String,
    },
    /// Asked of a node that was killed or stopped.
    #[error("the node is down: call `restart` first")]
    Down,
    /// Asked of a node that runs, and possible only while it does not.
    #[error("the node is up: call `kill` or `stop_gracefully` first")]
    Up,
    /// `rabbitmqctl` or an expression failed on the node.
    #[error("the node refuses {command:?}: {answer}")]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        answer: String,
    },
    /// The watcher ended before its node: someone killed it.
    #[error("the node's watcher process is gone")]
    WatcherGone,
    /// No free port was found.
    #[error("find {wanted} free ports on 127.0.0.1")]
    NoFreePorts {
        /// How many are needed.
        wanted: usize,
    },
    /// The operating system refuses.
    #[error("{doing} {}", path.display())]
    Os {
        /// What was being done, as the start of a sentence that ends in the path.
        doing: &'static str,
        /// With which file, folder or program.
        path: PathBuf,
        /// The system's answer.
        #[source]
        cause: io::Error,
    },
    /// The tokio runtime ended in the middle of a call.
    #[error("the runtime ended before the node had answered")]
    Interrupted,
}

impl NodeError {
    /// Prepares a [`NodeError::Os`] for `map_err`.
    pub(crate) fn os(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Os { doing, path, cause }
    }

    /// Another process was quicker to take one of the ports; with other ports a new try may succeed.
    pub fn worth_retrying(&self) -> bool {
        matches!(self, Self::BootFailed { last_words } if ["eaddrinuse", "already in use"].iter().any(|sign| last_words.contains(sign)))
    }
}
