//! Questions and answers over direct reply-to.
//!
//! Asking and listening must happen on one channel, so one task owns it: it publishes the questions
//! (mandatory, confirmed), hears the answers, and matches both by a correlation id of its own. A return
//! that lapin attached to the wrong confirm is found by that id as well. The channel is opened for the
//! first question and again after every end. Must not know: what is asked.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use messages::Envelope;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::properties::{decode, encode, is_direct_reply, short};
use super::session::{Session, Shared, words};
use crate::error::{PublishError, RequestError};
use crate::{Outgoing, PUBLISH_DEADLINE};

/// The address that the broker replaces by one of this channel.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// Questions that wait for the task. Whoever asks more waits a moment.
const ASKS: usize = 256;
/// Forgotten questions are swept out when there are this many, or twice what the last sweep left.
const SWEEP: usize = 64;

type Answer = Result<Envelope, PublishError>;

/// The asking side. Cheap to clone.
#[derive(Clone)]
pub(super) struct Asker {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    question: Outgoing,
    answer: oneshot::Sender<Answer>,
}

impl Asker {
    /// The asker, and its task.
    pub(super) fn new(shared: Arc<Shared>) -> (Self, impl Future<Output = ()>) {
        let (asks, given) = mpsc::channel(ASKS);
        let task = answer_all(Arc::clone(&shared), given);
        (Self { shared, asks }, task)
    }

    pub(super) async fn request(&self, question: Outgoing, patience: Duration) -> Result<Envelope, RequestError> {
        self.shared.publishing().map_err(|why| PublishError::Unreachable { why })?;
        let (answer, heard) = oneshot::channel();
        let ask = async {
            if self.asks.send(Ask { question, answer }).await.is_err() {
                return Err(PublishError::Unreachable { why: super::session::CLOSED.to_owned() });
            }
            heard.await.unwrap_or_else(|_| Err(lost("the channel for questions has ended")))
        };
        match timeout(patience, ask).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(RequestError::Silence(patience)),
        }
    }
}

fn lost(why: &str) -> PublishError {
    PublishError::Unknown { why: why.to_owned() }
}

async fn answer_all(shared: Arc<Shared>, mut asks: mpsc::Receiver<Ask>) {
    let closing = shared.closing.clone();
    let run = async {
        while let Some(first) = asks.recv().await {
            let opened = match shared.publishing() {
                Ok(session) => timeout(PUBLISH_DEADLINE, open(&session)).await.map_or_else(
                    |_| Err("no answer to the opening of a channel".to_owned()),
                    |opened| {
                        opened.map(|(channel, answers)| (session.generation, channel, answers)).map_err(|e| words(&e))
                    },
                ),
                Err(why) => Err(why),
            };
            match opened {
                Ok((generation, channel, answers)) => {
                    let mut desk = Desk { channel, waiting: HashMap::new(), last: 0, sweep_at: SWEEP };
                    let why = desk.serve(&shared, generation, answers, first, &mut asks).await;
                    desk.fail_all(&why);
                }
                // The role may have gone meanwhile.
                Err(why) => drop(first.answer.send(Err(PublishError::Unreachable { why }))),
            }
        }
    };
    tokio::select! {
        () = closing.cancelled() => {}
        () = run => {}
    }
}

async fn open(session: &Session) -> lapin::Result<(Channel, lapin::Consumer)> {
    let channel = session.publish.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let answers = channel.basic_consume(REPLY_TO.into(), "".into(), no_ack, FieldTable::default()).await?;
    Ok((channel, answers))
}

/// Everything that one channel has been asked.
struct Desk {
    channel: Channel,
    waiting: HashMap<String, Waiting>,
    last: u64,
    sweep_at: usize,
}

struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// What the role called its question.
    correlation_id: Option<String>,
}

impl Desk {
    /// Asks and hears until the channel ends. Returns why it did.
    async fn serve(
        &mut self,
        shared: &Shared,
        generation: u64,
        mut answers: lapin::Consumer,
        first: Ask,
        asks: &mut mpsc::Receiver<Ask>,
    ) -> String {
        let mut replaced = pin!(shared.replaced(generation));
        let mut confirms = FuturesUnordered::new();
        confirms.extend(self.ask(first));
        loop {
            tokio::select! {
                () = &mut replaced => return "the connection was lost".to_owned(),
                Some((id, confirm)) = confirms.next() => self.confirmed(&id, confirm),
                answer = answers.next() => match answer {
                    Some(Ok(answer)) => self.answered(&answer),
                    Some(Err(error)) => return words(&error),
                    None => return "the broker ended the channel for questions".to_owned(),
                },
                ask = asks.recv() => match ask {
                    Some(ask) => confirms.extend(self.ask(ask)),
                    None => return super::session::CLOSED.to_owned(),
                },
            }
        }
    }

    /// Notes the question and gives back the future that sends it, if it can be sent.
    fn ask(&mut self, ask: Ask) -> Option<impl Future<Output = (String, lapin::Result<Confirmation>)> + use<>> {
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|_, waiting| !waiting.answer.is_closed());
            self.sweep_at = SWEEP.max(2 * self.waiting.len());
        }
        self.last += 1;
        let id = self.last.to_string();
        let Ask { question: Outgoing { exchange, key, envelope }, answer } = ask;
        let correlation_id = envelope.correlation_id.clone();
        let envelope = envelope.answer_to(REPLY_TO, id.as_str());
        let prepared =
            encode(&envelope, exchange.persistent()).and_then(|p| Ok((p, short("routing key", key.as_str())?)));
        let (properties, short_key) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                drop(answer.send(Err(PublishError::Refused { exchange: exchange.name().to_owned(), key, why })));
                return None;
            }
        };
        self.waiting.insert(id.clone(), Waiting { answer, correlation_id });
        let channel = self.channel.clone();
        Some(async move {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent =
                channel.basic_publish(exchange.name().into(), short_key, options, &envelope.body, properties).await;
            let confirm = match sent {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (id, confirm)
        })
    }

    fn confirmed(&mut self, id: &str, confirm: lapin::Result<Confirmation>) {
        let back = match confirm {
            Ok(Confirmation::Ack(back)) => back,
            Ok(Confirmation::Nack(back)) => {
                self.fail(id, lost("the queue for questions is full"));
                back
            }
            Ok(Confirmation::NotRequested) => None,
            Err(error) => {
                self.fail(id, lost(&words(&error)));
                None
            }
        };
        // Not necessarily the return of `id`: lapin gives it to whichever confirm completes next.
        let Some(back) = back else { return };
        if let Some(of) = back.properties.correlation_id() {
            let (exchange, key) = (back.exchange.to_string(), back.routing_key.to_string());
            self.fail(of.as_str(), PublishError::Unroutable { exchange, key });
        }
    }

    fn answered(&mut self, answer: &lapin::message::Delivery) {
        let id = answer.properties.correlation_id().as_ref().map(ShortString::as_str).unwrap_or_default();
        let Some(waiting) = self.waiting.remove(id) else { return };
        match decode(&answer.properties, &answer.data) {
            Ok(mut envelope) => {
                envelope.correlation_id = waiting.correlation_id;
                // Whoever asked may have lost patience.
                drop(waiting.answer.send(Ok(envelope)));
            }
            Err(malformed) => tracing::warn!("an answer cannot be read: {malformed}"),
        }
    }

    fn fail(&mut self, id: &str, why: PublishError) {
        if let Some(waiting) = self.waiting.remove(id) {
            drop(waiting.answer.send(Err(why)));
        }
    }

    fn fail_all(&mut self, why: &str) {
        for (_, waiting) in self.waiting.drain() {
            drop(waiting.answer.send(Err(lost(why))));
        }
    }
}

/// The answering side: a channel without confirms, because an answer may be lost at any time and the
/// question be asked again.
pub(super) struct Replier {
    shared: Arc<Shared>,
    channel: Mutex<Option<(u64, Channel)>>,
}

impl Replier {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, channel: Mutex::new(None) }
    }

    pub(super) async fn reply(&self, question: &Envelope, mut answer: Envelope) -> Result<(), PublishError> {
        let Some(address) = &question.reply_to else { return Ok(()) };
        let refuse = |why| PublishError::Refused { exchange: String::new(), key: address.clone(), why };
        // The address is the asker's word. Through the default exchange it could name any queue.
        if !is_direct_reply(address) {
            return Err(refuse("answers go to direct reply-to addresses only".to_owned()));
        }
        answer.correlation_id.clone_from(&question.correlation_id);
        let properties: BasicProperties = encode(&answer, false).map_err(refuse)?;
        let key = short("reply address", address.as_str()).map_err(refuse)?;
        let session = self.shared.publishing().map_err(|why| PublishError::Unreachable { why })?;
        let send = async {
            let channel = self.channel(&session).await?;
            channel.basic_publish("".into(), key, BasicPublishOptions::default(), &answer.body, properties).await
        };
        tokio::select! {
            biased;
            sent = send => match sent {
                Ok(_) => Ok(()),
                Err(error) => Err(lost(&words(&error))),
            },
            why = self.shared.not_publishing(session.generation) => Err(lost(&why)),
        }
    }

    async fn channel(&self, session: &Session) -> lapin::Result<Channel> {
        let mut kept = self.channel.lock().await;
        if let Some((generation, channel)) = &*kept
            && *generation == session.generation
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let channel = session.publish.create_channel().await?;
        *kept = Some((session.generation, channel.clone()));
        Ok(channel)
    }
}
