//! A virtual host for a drill: it must be empty before, since a drill purges and deletes queues, and is empty after.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use url::Url;

use crate::Carrier;

const QUEUES: [&str; 6] =
    ["thump.commits", "thump.results", "thump.jobs.default", "thump.logs", "thump.dead", "chaos.tap"];
const EXCHANGES: [&str; 6] =
    ["thump.commits", "thump.jobs", "thump.results", "thump.control", "thump.logs", "thump.dead"];

/// Looks whether a drill may use the virtual host of this URL.
///
/// # Errors
///
/// It cannot be reached, or somebody uses it. The messages say what to do, and show no password.
pub async fn enter(url: &str) -> Result<Carrier> {
    let parsed = Url::parse(url).context("the broker's URL cannot be read")?;
    if parsed.scheme() != "amqp" {
        bail!("a drill stands between the roles and the broker, which TLS does not allow\n  try   an amqp:// URL");
    }
    let (host, port) = (parsed.host_str().context("the broker's URL names no host")?, parsed.port().unwrap_or(5672));
    let found = tokio::net::lookup_host((host, port)).await.with_context(|| format!("find the broker {host}"))?;
    // IPv4 first, as most brokers listen there.
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let address = *found.first().with_context(|| format!("{host} has no address"))?;
    let mut plain = parsed.clone();
    if plain.set_ip_host(address.ip()).is_err() || plain.set_port(Some(port)).is_err() {
        bail!("the broker's URL cannot be rewritten");
    }
    let url = plain.to_string();
    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .with_context(|| format!("connect to the broker at {address}"))?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    for queue in QUEUES {
        let channel = connection.create_channel().await.context("open a channel")?;
        if channel.queue_declare(queue.into(), passive, FieldTable::default()).await.is_ok() {
            bail!(
                "the virtual host has a queue {queue} already, and a drill purges and deletes queues\n  \
                 try   an empty one: rabbitmqctl add_vhost drill, and rights for the user on it"
            );
        }
    }
    drop(connection.close(200, "done".into()).await);
    Ok(Carrier::Rabbit { url, address, power: None })
}

/// Removes everything that the drill's roles made.
///
/// # Errors
///
/// The broker refuses.
pub async fn leave(url: &str) -> Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.context("connect")?;
    let channel = connection.create_channel().await.context("open a channel")?;
    for queue in QUEUES {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.context("delete a queue")?;
    }
    for exchange in EXCHANGES {
        channel
            .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
            .await
            .context("delete an exchange")?;
    }
    drop(connection.close(200, "done".into()).await);
    Ok(())
}
