//! RabbitMQ as the suite sees it: a virtual host of its own per case, and a line per client.

use std::net::SocketAddr;
use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use url::Url;

use super::line::Line;
use super::verbs::in_time;
use super::{Client, Fixture, Forgery};
use crate::{Broker, Exchange, Role};

pub(super) struct OnRabbit {
    url: Url,
}

impl OnRabbit {
    /// A fixture on a node that the case itself may kill.
    pub(super) fn at(url: &str) -> Self {
        Self { url: url.parse().expect("a URL") }
    }

    /// A client and the line it hangs on.
    pub(super) async fn connect_by_line(&self, name: &str) -> (Broker, Arc<Line>) {
        let line = Arc::new(Line::to(self.address()).await);
        let mut url = self.url.clone();
        url.set_port(Some(line.port())).expect("a port");
        let role = Role { name: name.to_owned(), declares_topology: true };
        let broker = Broker::rabbit(url.as_str(), role).expect("a good URL");
        in_time("the first connection", broker.wait_until_up()).await.expect("not refused");
        (broker, line)
    }

    /// A connection that is none of ours.
    pub(super) async fn stranger(&self) -> (Connection, Channel) {
        let options = ConnectionProperties::default().with_connection_name("stranger".into());
        let connection = Connection::connect(self.url.as_str(), options).await.expect("connected");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }

    fn address(&self) -> SocketAddr {
        let addresses = self.url.socket_addrs(|| Some(5672)).expect("a host");
        *addresses.iter().find(|address| address.is_ipv4()).expect("an IPv4 address")
    }
}

impl Fixture for OnRabbit {
    async fn start() -> Self {
        let node = rabbit_node::shared().await.expect("a RabbitMQ node");
        Self::at(&node.vhost().await.expect("a virtual host"))
    }

    async fn connect(&self, name: &str) -> Client {
        let (broker, line) = self.connect_by_line(name).await;
        Client { broker, kill: Box::new(move || line.cut()) }
    }

    async fn forge(&self, exchange: Exchange, key: &str, forgery: Forgery) {
        let (Forgery::Nameless(raw) | Forgery::TooLarge(raw)) = forgery;
        let (connection, channel) = self.stranger().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = channel.basic_publish(exchange.name().into(), key.into(), options, &raw, BasicProperties::default());
        let confirm = sent.await.expect("sent").await.expect("confirmed");
        assert!(matches!(confirm, Confirmation::Ack(None)), "{confirm:?}");
        connection.close(200, "done".into()).await.expect("closed");
    }

    // The virtual host goes with the node, which no case outlives.
    async fn end(self) {}
}
