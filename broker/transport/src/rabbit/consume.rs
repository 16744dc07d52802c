//! Consumers that outlive every channel and connection.
//!
//! One task per consumer: it waits for a session, opens a channel of its own, sets the prefetch,
//! consumes and forwards. Whatever ends that, it says so ([`Event::Interrupted`]), and builds anew for
//! ever. Must not know: publishing beyond the one dead letter, see `settle.rs`.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::declare;
use super::publish::Publisher;
use super::session::{CLOSED, Session, Shared, code, words};
use super::settle::{Source, delivery};
use crate::consumer::ControlConsumer;
use crate::error::ConsumeError;
use crate::{Consumer, Event, QueueSpec};

/// Room beyond the prefetch for events that are no deliveries.
const SIGNALS: usize = 8;
/// How soon a queue that is missing is looked for again.
const MISSING_DELAY: Duration = Duration::from_millis(500);
/// How soon a consumer that was refused asks again: somebody has to change its rights first.
const REFUSED_DELAY: Duration = Duration::from_secs(5);
/// How long the broker may take for the few steps to a consumer, or to the end of one.
const DEADLINE: Duration = Duration::from_secs(10);

/// What one consumer is made of.
pub(super) struct Plan {
    pub(super) spec: QueueSpec,
    /// Unsettled deliveries; `None` for control queues, whose messages need no ack.
    pub(super) prefetch: Option<u16>,
}

/// Starts a consumer. The future is its task.
pub(super) fn start(shared: Arc<Shared>, publisher: Publisher, plan: Plan) -> (Consumer, impl Future<Output = ()>) {
    let room = plan.prefetch.map_or(plan.spec.max_length as usize, usize::from);
    let (sender, events) = mpsc::channel(room + SIGNALS);
    let (gone, stopping, stopped) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let control = Control { stopping: stopping.clone(), stopped: stopped.clone(), _gone: gone.clone().drop_guard() };
    let source = Arc::new(Source::new(Arc::clone(&shared), publisher, &plan.spec));
    let task = Task { shared, source, plan, events: sender, gone, stopping, consuming: false };
    (Consumer { events, control: Box::new(control) }, task.run(stopped))
}

/// The role's hold on the task.
struct Control {
    stopping: CancellationToken,
    stopped: CancellationToken,
    /// Cancelled by the drop: the task ends, its channel with it, and the broker requeues what was held.
    _gone: DropGuard,
}

impl ControlConsumer for Control {
    fn stop(&self) -> BoxFuture<'_, ()> {
        self.stopping.cancel();
        self.stopped.cancelled().boxed()
    }
}

struct Task {
    shared: Arc<Shared>,
    source: Arc<Source>,
    plan: Plan,
    events: mpsc::Sender<Event>,
    gone: CancellationToken,
    stopping: CancellationToken,
    /// Whether the role was told so.
    consuming: bool,
}

/// Why a channel is done with.
enum End {
    /// The deliveries handed out are void.
    Interrupted(String),
    /// The role wants no more; what it holds stays valid.
    Stopped,
    /// The role has dropped the consumer, or the broker is closed.
    Over,
}

impl Task {
    async fn run(mut self, stopped: CancellationToken) {
        // However the task ends, nobody waits for a stop in vain.
        let _stopped = stopped.clone().drop_guard();
        let (shared, gone, stopping) = (Arc::clone(&self.shared), self.gone.clone(), self.stopping.clone());
        let over = async {
            tokio::select! {
                () = gone.cancelled() => {}
                () = shared.closing.cancelled() => {}
            }
        };
        tokio::select! {
            biased;
            () = over => {}
            () = self.keep_consuming(&stopping, &stopped) => {}
        }
        if self.consuming && self.shared.closing.is_cancelled() {
            // A role that does not read has no room for it, and learns of it by the end.
            self.events.try_send(Event::Interrupted { why: CLOSED.to_owned() }).ok();
        }
    }

    /// Returns when the role wants no more and has nothing to settle, or takes no more events.
    async fn keep_consuming(&mut self, stopping: &CancellationToken, stopped: &CancellationToken) {
        let mut said = None;
        loop {
            let built = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                built = self.build() => built,
            };
            let (session, channel, stream) = match built {
                Ok(built) => built,
                Err(obstacle) => {
                    let delay = self.obstacle(&obstacle, &mut said);
                    tokio::select! {
                        biased;
                        () = stopping.cancelled() => return,
                        () = sleep(delay) => continue,
                    }
                }
            };
            said = None;
            if self.tell(Event::Resumed, stopping).await.is_break() {
                return;
            }
            self.consuming = true;
            match self.forward(&session, stream, stopping, &channel).await {
                End::Interrupted(why) => {
                    // First the channel: what is acked from now on must find its acker void.
                    drop(channel);
                    self.consuming = false;
                    if self.tell(Event::Interrupted { why }, stopping).await.is_break() {
                        return;
                    }
                }
                End::Stopped => {
                    stopped.cancel();
                    // The channel keeps what the role holds valid, until the role drops the consumer.
                    std::future::pending::<()>().await;
                }
                End::Over => return,
            }
        }
    }

    /// From the next session to a consumer on a channel of its own.
    async fn build(&self) -> Result<(Arc<Session>, Channel, lapin::Consumer), ConsumeError> {
        let session = self.next_session().await;
        let steps = async {
            let queue = declare::name_of(&self.plan.spec.name)?;
            let what = || format!("the queue {queue}");
            let channel = declare::open(&session.consume).await?;
            match self.plan.prefetch {
                Some(prefetch) => channel
                    .basic_qos(prefetch, BasicQosOptions::default())
                    .await
                    .map_err(|error| declare::explain(what(), &error))?,
                None => declare::queue_with_bindings(&channel, &self.plan.spec).await?,
            }
            let options =
                BasicConsumeOptions { no_ack: self.plan.prefetch.is_none(), ..BasicConsumeOptions::default() };
            let stream = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default());
            let stream = stream.await.map_err(|error| match code(&error) {
                Some(declare::NOT_FOUND) => ConsumeError::Missing { queue: queue.to_string() },
                _ => declare::explain(what(), &error),
            })?;
            Ok((channel, stream))
        };
        match timeout(DEADLINE, steps).await {
            Ok(built) => built.map(|(channel, stream)| (Arc::clone(&session), channel, stream)),
            Err(_) => Err(ConsumeError::Unreachable { why: format!("no answer within {DEADLINE:?}") }),
        }
    }

    /// A session whose end nobody has noticed yet is none.
    async fn next_session(&self) -> Arc<Session> {
        loop {
            let session = self.shared.connected().await;
            if session.consume.status().connected() {
                return session;
            }
            self.shared.replaced(session.generation).await;
        }
    }

    /// Logs what is in the way, once, and says how long to wait.
    fn obstacle(&self, obstacle: &ConsumeError, said: &mut Option<ConsumeError>) -> Duration {
        if said.as_ref() != Some(obstacle) {
            let name = &self.plan.spec.name;
            match obstacle {
                // The usual thing for a role that was started first.
                ConsumeError::Missing { .. } => {
                    tracing::info!("waiting for the dispatcher to declare what {name} needs");
                }
                _ => tracing::warn!("cannot consume {name} yet: {obstacle}"),
            }
            *said = Some(obstacle.clone());
        }
        match obstacle {
            ConsumeError::Missing { .. } | ConsumeError::Unreachable { .. } => MISSING_DELAY,
            ConsumeError::Refused { .. } | ConsumeError::Differs { .. } => REFUSED_DELAY,
        }
    }

    /// Hands an event to the role, which may have stopped to listen.
    async fn tell(&self, event: Event, stopping: &CancellationToken) -> ControlFlow<()> {
        tokio::select! {
            biased;
            sent = self.events.send(event) => if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) },
            () = stopping.cancelled() => ControlFlow::Break(()),
        }
    }

    /// Forwards deliveries until something ends it.
    async fn forward(
        &self,
        session: &Session,
        mut stream: lapin::Consumer,
        stopping: &CancellationToken,
        channel: &Channel,
    ) -> End {
        let mut stop = pin!(stopping.cancelled());
        let mut replaced = pin!(self.shared.replaced(session.generation));
        let hold = self.plan.prefetch.map(|_| &self.source);
        loop {
            // Room first: a delivery that was taken from lapin can always be handed on. A control queue
            // needs no ack, so nothing bounds lapin's buffer: what the role does not read is lost.
            let permit = match hold {
                None => None,
                Some(_) => tokio::select! {
                    biased;
                    () = &mut stop => { wind_down(channel, stream).await; return End::Stopped }
                    () = &mut replaced => return End::Interrupted("the connection was lost".to_owned()),
                    permit = self.events.reserve() => match permit {
                        Ok(permit) => Some(permit),
                        Err(_) => return End::Over,
                    },
                },
            };
            let item = tokio::select! {
                biased;
                () = &mut stop => {
                    drop(permit);
                    wind_down(channel, stream).await;
                    return End::Stopped;
                }
                () = &mut replaced => return End::Interrupted("the connection was lost".to_owned()),
                item = stream.next() => item,
            };
            let event = match item {
                Some(Ok(given)) => Event::Delivery(delivery(given, session.generation, hold)),
                Some(Err(error)) => return End::Interrupted(words(&error)),
                None => return End::Interrupted("the broker cancelled the consumer, so its queue is gone".to_owned()),
            };
            match permit {
                Some(permit) => permit.send(event),
                None => {
                    if let Err(mpsc::error::TrySendError::Closed(_)) = self.events.try_send(event) {
                        return End::Over;
                    }
                }
            }
        }
    }
}

/// Takes no more deliveries, and gives back those that the role has not seen.
async fn wind_down(channel: &Channel, mut stream: lapin::Consumer) {
    let steps = async {
        channel.basic_cancel(stream.tag(), BasicCancelOptions::default()).await?;
        while let Some(given) = stream.next().await {
            given?.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
        }
        lapin::Result::Ok(())
    };
    match timeout(DEADLINE, steps).await {
        Ok(Ok(())) => {}
        // The channel is closed or will be, and that requeues them as well.
        Ok(Err(error)) => tracing::debug!("while a consumer was stopped: {}", words(&error)),
        Err(_) => tracing::debug!("while a consumer was stopped: no answer within {DEADLINE:?}"),
    }
}
