//! The broker inside the process as the suite sees it.

use messages::{MAX_BODY_BYTES, Malformed};

use super::{Client, Fixture, Forgery};
use crate::{Embedded, Exchange, Role};

pub(super) struct InProcess {
    broker: Embedded,
}

impl Fixture for InProcess {
    async fn start() -> Self {
        Self { broker: Embedded::new() }
    }

    async fn connect(&self, name: &str) -> Client {
        let broker = self.broker.connect(Role { name: name.to_owned(), declares_topology: true });
        // A client here dies with its last clone; there is no process of its own to kill.
        Client { broker, kill: Box::new(|| ()) }
    }

    async fn forge(&self, exchange: Exchange, key: &str, forgery: Forgery) {
        let (wrong, raw) = match forgery {
            Forgery::Nameless(raw) => (Malformed::Missing { field: "kind" }, raw),
            Forgery::TooLarge(raw) => {
                assert!(raw.len() > MAX_BODY_BYTES);
                (Malformed::TooLarge { bytes: raw.len() }, raw)
            }
        };
        self.broker.inject(exchange, key, wrong, raw).expect("a queue for the forgery");
    }

    async fn end(self) {}
}
