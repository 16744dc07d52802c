//! Everything that can go wrong between a role and the broker, and whether a retry helps.

/// A broker URL that can never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker URL {shown} {why}; it has the form amqp://user:password@host:5672/vhost")]
pub struct BrokerUrlError {
    /// The URL without its password.
    pub shown: String,
    /// What is wrong, in words that continue "the broker URL ...".
    pub why: String,
}

/// The broker is there and says no, and waiting does not mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedError {
    /// Wrong user or password.
    #[error("RabbitMQ at {at} refuses user {user:?}: check the user and the password in --broker or THUMP_BROKER")]
    Credentials {
        /// Host and port.
        at: String,
        /// The user that was refused.
        user: String,
    },
    /// No such virtual host, or no right to it.
    #[error("RabbitMQ at {at} refuses the virtual host {vhost:?} to user {user:?}: {why}")]
    VirtualHost {
        /// Host and port.
        at: String,
        /// The virtual host.
        vhost: String,
        /// The user that was refused.
        user: String,
        /// The broker's words.
        why: String,
    },
    /// The broker lacks what Thump relies on.
    #[error("RabbitMQ at {at} is version {version}, but 3.10 or newer is needed (at-least-once dead-lettering)")]
    TooOld {
        /// Host and port.
        at: String,
        /// What it says it is.
        version: String,
    },
}

/// Why a message is not, or may not be, in a queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue takes messages of this exchange and key (returned as unroutable).
    #[error("publish to {exchange} with key {key:?}: no queue is bound for it")]
    Unroutable {
        /// The exchange's name.
        exchange: String,
        /// The routing key.
        key: String,
    },
    /// The queue is full (nack by `reject-publish`).
    #[error("publish to {exchange} with key {key:?}: the queue is full")]
    QueueFull {
        /// The exchange's name.
        exchange: String,
        /// The routing key.
        key: String,
    },
    /// It may or may not have arrived: publish it again with the same id.
    #[error("publish: {why}; whether it arrived is unknown")]
    Unknown {
        /// Deadline, lost connection, ...
        why: String,
    },
    /// Not connected, or publishing is blocked: it did not arrive.
    #[error("publish: the broker is not reachable ({why})")]
    Unreachable {
        /// What the link says.
        why: String,
    },
    /// The broker forbids it to this user.
    #[error("publish to {exchange} with key {key:?} is refused: {why}")]
    Refused {
        /// The exchange's name.
        exchange: String,
        /// The routing key.
        key: String,
        /// The broker's words.
        why: String,
    },
}

impl PublishError {
    /// Whether the same message may get through later without a change of rights.
    pub fn worth_retrying(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// Why a queue cannot be consumed, declared or measured now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// Not connected.
    #[error("the broker is not reachable ({why})")]
    Unreachable {
        /// What the link says.
        why: String,
    },
    /// The queue does not exist (yet).
    #[error("the queue {queue} does not exist")]
    Missing {
        /// Its name.
        queue: String,
    },
    /// It exists with other arguments than ours (AMQP 406).
    #[error(
        "{what} exists with other arguments than Thump's: {why}; delete it and Thump makes it anew, nothing is lost"
    )]
    Differs {
        /// Which queue or exchange.
        what: String,
        /// The broker's words.
        why: String,
    },
    /// The broker forbids it to this user (AMQP 403).
    #[error("{what} is refused: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// The broker's words.
        why: String,
    },
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The question could not be sent.
    #[error("the question was not sent: {0}")]
    NotSent(#[from] PublishError),
    /// Nobody answered in time.
    #[error("no answer within {0:?}")]
    Silence(std::time::Duration),
}

/// Why a delivery could not be settled. It will be delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The dead letter could not be published, so the delivery was put back.
    #[error("put the message aside: {0}")]
    DeadLetter(#[from] PublishError),
}
