//! Private RabbitMQ nodes for tests and benchmarks: real servers with their own ports, data and name, gone without a
//! trace when the test is.
//!
//! Apart from the tests that use it, because three crates need the same node and because starting and ending foreign
//! processes cleanly is a subject of its own. Knows nothing of commits, jobs or queues: it hands out URLs.
//!
//! ```no_run
//! # async fn story() -> Result<(), Box<dyn std::error::Error>> {
//! // One node for the whole test binary, one virtual host per test.
//! let url = rabbit_node::shared().await?.vhost().await?;
//!
//! // A node of one's own, for what would disturb the neighbours.
//! let node = rabbit_node::Node::start().await?;
//! node.kill().await?;
//! node.restart().await?;
//! # Ok(()) }
//! ```

mod admin;
mod error;
mod folder;
mod locate;
mod node;
mod ports;
mod processes;
mod slim;
mod watcher;

pub use error::NodeError;
pub use node::{Node, NodeBuilder};

use std::sync::OnceLock;

/// The one node that all tests of this test binary share, booted by whoever asks first.
///
/// Give each test its own [`Node::vhost`]; never kill, freeze or reconfigure this one. It belongs to no tokio runtime,
/// so tests with a runtime each may share it. It ends with the test process, see the crate's `watcher`.
///
/// # Errors
///
/// The boot is tried once; every caller gets the same answer.
pub async fn shared() -> Result<&'static Node, &'static NodeError> {
    // Blocking, not a tokio cell: a cell would be filled by a runtime that ends with the first test.
    static SHARED: OnceLock<Result<Node, NodeError>> = OnceLock::new();
    static INTERRUPTED: NodeError = NodeError::Interrupted;
    let boot = || SHARED.get_or_init(|| NodeBuilder::default().start_blocking()).as_ref();
    tokio::task::spawn_blocking(boot).await.unwrap_or(Err(&INTERRUPTED))
}
