//! Publishing with mandatory and confirms, in windows.
//!
//! lapin hands a returned message to whichever confirm completes next and not to its own, so no single
//! confirm can be believed while others are open. Therefore a window of messages is settled as a whole:
//! send all, await every confirm, collect the ids of all that came back, and only then answer.
//! The confirm-mode channels are pooled; one in use belongs to one window, and one whose confirms did
//! not all arrive is never used again. Must not know: consumers, questions.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError};
use futures::future::{MaybeDone, maybe_done};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use messages::MessageId;
use tokio::time::sleep;

use super::channels::Channels;
use super::declare::{ACCESS_REFUSED, NOT_FOUND};
use super::properties::encode;
use super::session::{Shared, code, words};
use crate::error::PublishError;
use crate::{Outgoing, PUBLISH_DEADLINE};

/// How many messages are under way on one channel before their confirms are awaited.
const WINDOW: usize = 256;
/// ... and how many bytes. A window that fits into lapin's buffer is written before an error of its
/// channel comes back; a publish written after that would end the connection.
const WINDOW_BYTES: usize = 512 * 1024;
/// Windows under way at once.
const MAX_CHANNELS: usize = 8;
/// When the link goes down or is blocked, confirms that are on their way may still arrive this long.
const LAST_CONFIRMS: Duration = Duration::from_secs(1);

const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

/// Publishes on pooled channels. Cheap to clone.
#[derive(Clone)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    channels: Pool<Channels>,
}

/// A message as the wire has it.
pub(super) struct Parcel<'a> {
    pub(super) exchange: &'a str,
    pub(super) key: &'a str,
    pub(super) body: &'a [u8],
    pub(super) properties: BasicProperties,
    /// By this a returned message is known; without it, by exchange and key alone.
    pub(super) id: Option<MessageId>,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let channels = Pool::builder(Channels::new(Arc::clone(&shared))).max_size(MAX_CHANNELS).build();
        Self { shared, channels: channels.expect("only timeouts could be refused, and there are none") }
    }

    /// Publishes window after window, so the messages of one exchange and key arrive in their order.
    pub(super) async fn publish_all(&self, outgoing: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        let mut results = Vec::with_capacity(outgoing.len());
        let mut rest = outgoing;
        while !rest.is_empty() {
            let (window, later) = rest.split_at(window_length(rest));
            rest = later;
            let before = results.len();
            let parcels = window.iter().map(|outgoing| {
                let Outgoing { exchange, key, envelope } = outgoing;
                let refuse =
                    |why| PublishError::Refused { exchange: exchange.name().to_owned(), key: key.clone(), why };
                if key.len() > 255 {
                    return Err(refuse("the routing key is longer than 255 bytes".to_owned()));
                }
                let properties = encode(envelope, exchange.persistent()).map_err(refuse)?;
                let (exchange, id) = (exchange.name(), Some(envelope.id));
                Ok(Parcel { exchange, key, body: &envelope.body, properties, id })
            });
            results.extend(self.publish_window(parcels.collect()).await);
            // A broker that has just been silent for the whole deadline is not waited for again.
            if results[before..].iter().any(|result| matches!(result, Err(PublishError::Unknown { .. }))) {
                let why = "the messages before it were not confirmed";
                results.extend(rest.iter().map(|_| Err(PublishError::Unreachable { why: why.to_owned() })));
                break;
            }
        }
        results
    }

    /// Publishes one window and settles it as a whole.
    pub(super) async fn publish_window(
        &self,
        parcels: Vec<Result<Parcel<'_>, PublishError>>,
    ) -> Vec<Result<(), PublishError>> {
        let mut channel = match self.channel().await {
            Ok(channel) => channel,
            Err(why) => {
                let unreachable = |_| Err(PublishError::Unreachable { why: why.clone() });
                return parcels.into_iter().map(|parcel| parcel.and_then(unreachable)).collect();
            }
        };
        // Until all is settled: whoever drops this future leaves a channel that nobody may use again.
        channel.spent = true;
        let window = Window::send(&channel.channel, parcels);
        let (outcome, complete) = self.settle(window, channel.generation).await;
        let full = outcome.iter().any(|result| matches!(result, Err(PublishError::QueueFull { .. })));
        channel.spent = !complete || full;
        outcome
    }

    /// Waits for the confirms of a window; also says whether all have come.
    async fn settle(
        &self,
        mut window: Window<'_, impl Sending>,
        generation: u64,
    ) -> (Vec<Result<(), PublishError>>, bool) {
        let patience = async {
            let why = tokio::select! {
                biased;
                why = self.shared.not_publishing(generation) => why,
                () = sleep(PUBLISH_DEADLINE) => return format!("no confirm within {PUBLISH_DEADLINE:?}"),
            };
            sleep(LAST_CONFIRMS).await;
            why
        };
        let why = tokio::select! {
            biased;
            () = window.all_confirms() => None,
            why = patience => Some(why),
        };
        (window.outcome(why.as_deref().unwrap_or_default()), why.is_none())
    }

    /// A channel of the present connection, or why there is none. Nothing has been sent then.
    async fn channel(&self) -> Result<Object<Channels>, String> {
        let generation = self.shared.publishing()?.generation;
        tokio::select! {
            biased;
            channel = self.channels.get() => channel.map_err(|error| match error {
                PoolError::Backend(why) => why,
                other => other.to_string(),
            }),
            why = self.shared.not_publishing(generation) => Err(why),
            () = sleep(PUBLISH_DEADLINE) => Err("no channel was free in time".to_owned()),
        }
    }
}

fn window_length(outgoing: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Outgoing| {
        bytes += message.envelope.body.len();
        bytes <= WINDOW_BYTES
    };
    outgoing.iter().take(WINDOW).take_while(fits).count().max(1)
}

trait Sending: Future<Output = lapin::Result<Confirmation>> {}
impl<F: Future<Output = lapin::Result<Confirmation>>> Sending for F {}

/// Messages under way on one channel.
struct Window<'a, F: Sending> {
    parcels: Vec<Sent<'a, F>>,
}

struct Sent<'a, F: Sending> {
    exchange: &'a str,
    key: &'a str,
    id: Option<MessageId>,
    state: State<F>,
}

enum State<F: Sending> {
    Refused(PublishError),
    Sent(Pin<Box<MaybeDone<F>>>),
}

impl<'a> Window<'a, std::future::Pending<lapin::Result<Confirmation>>> {
    /// Prepares the messages. They are sent when the confirms are first awaited.
    fn send(channel: &'a Channel, parcels: Vec<Result<Parcel<'a>, PublishError>>) -> Window<'a, impl Sending> {
        let sent = |parcel: Result<Parcel<'a>, PublishError>| {
            let Parcel { exchange, key, body, properties, id } = match parcel {
                Ok(parcel) => parcel,
                Err(error) => return Sent { exchange: "", key: "", id: None, state: State::Refused(error) },
            };
            let confirm = async move {
                let (exchange, key) = (ShortString::from(exchange), ShortString::from(key));
                channel.basic_publish(exchange, key, MANDATORY, body, properties).await?.await
            };
            Sent { exchange, key, id, state: State::Sent(Box::pin(maybe_done(confirm))) }
        };
        Window { parcels: parcels.into_iter().map(sent).collect() }
    }
}

impl<F: Sending> Window<'_, F> {
    /// Sends what is not sent yet, in order, and waits for every confirm.
    async fn all_confirms(&mut self) {
        // The first poll of each takes its delivery tag and queues its frames.
        std::future::poll_fn(|context| {
            for sent in &mut self.parcels {
                if let State::Sent(confirm) = &mut sent.state {
                    // Whether it is done is asked below.
                    let _ = confirm.as_mut().poll(context);
                }
            }
            std::task::Poll::Ready(())
        })
        .await;
        for sent in &mut self.parcels {
            if let State::Sent(confirm) = &mut sent.state {
                confirm.as_mut().await;
            }
        }
    }

    /// What became of each message, when either all is confirmed or `why` says why not.
    fn outcome(mut self, why: &str) -> Vec<Result<(), PublishError>> {
        let alone = self.parcels.len() == 1;
        let mut returned = Vec::new();
        let mut outcome = Vec::with_capacity(self.parcels.len());
        for sent in &mut self.parcels {
            let to = || (sent.exchange.to_owned(), sent.key.to_owned());
            outcome.push(match &mut sent.state {
                State::Refused(error) => Err(error.clone()),
                State::Sent(confirm) => match confirm.as_mut().take_output() {
                    Some(Ok(Confirmation::Ack(back))) => {
                        returned.extend(back);
                        Ok(())
                    }
                    Some(Ok(Confirmation::Nack(back))) => {
                        returned.extend(back);
                        let (exchange, key) = to();
                        Err(PublishError::QueueFull { exchange, key })
                    }
                    Some(Ok(Confirmation::NotRequested)) => {
                        Err(PublishError::Unknown { why: "the channel was not in confirm mode".to_owned() })
                    }
                    Some(Err(error)) => Err(fate(&error, sent.exchange, sent.key, alone)),
                    None => Err(PublishError::Unknown { why: why.to_owned() }),
                },
            });
        }
        for back in returned {
            let id = back.properties.message_id().as_ref().and_then(|id| id.as_str().parse::<MessageId>().ok());
            for (sent, outcome) in self.parcels.iter().zip(&mut outcome) {
                let same_id = sent.id.is_none() || sent.id == id;
                if same_id && sent.exchange == back.exchange.as_str() && sent.key == back.routing_key.as_str() {
                    let (exchange, key) = (sent.exchange.to_owned(), sent.key.to_owned());
                    *outcome = Err(PublishError::Unroutable { exchange, key });
                }
            }
        }
        outcome
    }
}

/// What an error of the channel says about one message of its window. The broker names the exchange
/// it missed or refused; every other message of the window may or may not have arrived.
fn fate(error: &lapin::Error, exchange: &str, key: &str, alone: bool) -> PublishError {
    let why = words(error);
    let meant = alone || why.contains(&format!("'{exchange}'"));
    let topic_meant = alone || !why.contains("topic '") || why.contains(&format!("topic '{key}'"));
    let (exchange, key) = (exchange.to_owned(), key.to_owned());
    match code(error) {
        Some(NOT_FOUND) if meant => PublishError::Unroutable { exchange, key },
        Some(ACCESS_REFUSED) if meant && topic_meant => PublishError::Refused { exchange, key, why },
        _ => PublishError::Unknown { why },
    }
}
