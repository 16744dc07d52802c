//! A RabbitMQ node of the site's own: what can be done to it, and what only it can tell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use drill::{Carrier, Power, Settings, Site};
use futures::FutureExt;
use futures::future::BoxFuture;
use rabbit_node::Node;

/// Boots a node, and says how roles and faults reach it.
///
/// # Errors
///
/// No RabbitMQ is installed.
pub async fn carrier() -> Result<(Carrier, Arc<Node>)> {
    let node = Arc::new(Node::start().await?);
    let power: Arc<dyn Power> = Arc::new(Own(Arc::clone(&node)));
    Ok((Carrier::Rabbit { url: node.url(), address: node.address(), power: Some(power) }, node))
}

/// Boots a node and prepares the roles around it; none runs yet.
///
/// # Errors
///
/// No RabbitMQ is installed, or the disk refuses.
pub async fn site(settings: &Settings) -> Result<(Site, Arc<Node>)> {
    let (carrier, node) = carrier().await?;
    Ok((Site::new(settings, carrier).await?, node))
}

/// How soon a broker that loses its dead-lettering has lost it.
const DEAD_LETTERING: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Own(Arc<Node>);

impl Power for Own {
    fn kill(&self) -> BoxFuture<'_, Result<()>> {
        async {
            drill::wire::all_there(&self.0.url()).await.context("wait for every queue")?;
            on_disk(&self.0).await.context("sync")?;
            Ok(self.0.kill().await?)
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(self.0.stop_gracefully().await?) }.boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<()>> {
        async {
            for _ in 0..2 {
                if self.0.restart().await.is_ok() {
                    return Ok(());
                }
            }
            match self.0.restart().await {
                Ok(()) => Ok(()),
                Err(cause) => bail!("the broker does not come back: {cause}"),
            }
        }
        .boxed()
    }

    /// When a queue with at-least-once dead-lettering is deleted, 3.10 may lose the supervisor of all dead-lettering, and
    /// from then on refuses every such queue with an internal error until it is started again (docs/operate.md):
    /// the broker's own fault, which takes an operator.
    fn mend_after_delete(&self) -> BoxFuture<'_, Result<&'static str>> {
        async {
            tokio::time::sleep(DEAD_LETTERING).await;
            if self.0.eval("whereis(rabbit_fifo_dlx_sup)").await? != "undefined" {
                return Ok("");
            }
            self.start().await?;
            Ok("; the broker lost its dead-lettering by it and was started again")
        }
        .boxed()
    }

    fn freeze(&self) -> Result<()> {
        Ok(self.0.freeze()?)
    }

    fn thaw(&self) -> Result<()> {
        Ok(self.0.thaw()?)
    }

    fn log(&self) -> String {
        self.0.log()
    }
}

/// Waits until the node has its new queues on disk. A node of 3.10 writes them half a second late, and one that is
/// killed before may come back with a queue that takes and gives nothing (docs/operate.md): the broker's own fault,
/// which no client can mend.
pub async fn on_disk(node: &Node) -> Result<()> {
    node.eval("timer:sleep(1500), mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]").await?;
    Ok(())
}

/// Waits until the number of unacked messages of a queue is as wanted; `None` if it is not within the limit.
pub async fn unacked(node: &Node, queue: &str, wanted: impl Fn(u64) -> bool, limit: Duration) -> Result<Option<()>> {
    let begun = Instant::now();
    let ask = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
         [{{_, N}}] = rabbit_amqqueue:info(Q, [messages_unacknowledged]), N"
    );
    while begun.elapsed() < limit {
        if node.eval(ask.as_str()).await?.parse().is_ok_and(&wanted) {
            return Ok(Some(()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(None)
}
