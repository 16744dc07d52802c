//! Chaos over a private RabbitMQ node that can be killed too, the figures about faults, and nets for planted defects.
//!
//! The engine is `drill`, the user's own; what is added here needs a node of the test's own.

pub mod bite;
pub mod figures;
pub mod node;

use anyhow::Result;
use drill::{Options, Outcome};

/// A run on a node of its own, which is hurt as well. The carrier of the options is replaced.
///
/// # Errors
///
/// See [`drill::run`].
pub async fn run(mut options: Options) -> Result<Outcome> {
    let (carrier, _node) = node::carrier().await?;
    options.carrier = carrier;
    drill::run(options).await
}
