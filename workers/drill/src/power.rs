//! Power over the broker's own process, for whoever has it: a private node in a test, never a team's RabbitMQ.

use std::fmt::Debug;

use anyhow::Result;
use futures::future::BoxFuture;

/// What can be done to a broker's process.
pub trait Power: Debug + Send + Sync {
    /// SIGKILL, at a moment at which it has its queues on disk.
    fn kill(&self) -> BoxFuture<'_, Result<()>>;
    /// Ends it in order.
    fn stop(&self) -> BoxFuture<'_, Result<()>>;
    /// Starts it again and waits until it serves.
    fn start(&self) -> BoxFuture<'_, Result<()>>;
    /// Puts right what the deletion of a queue has broken in the broker itself. Returns what it was, if anything.
    fn mend_after_delete(&self) -> BoxFuture<'_, Result<&'static str>>;
    /// SIGSTOP.
    ///
    /// # Errors
    ///
    /// It does not run.
    fn freeze(&self) -> Result<()>;
    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// It does not run.
    fn thaw(&self) -> Result<()>;
    /// What it said.
    fn log(&self) -> String;
}
