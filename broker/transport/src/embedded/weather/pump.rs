//! Carries what the broker hands out to a role, over one connection after the other.

use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Seen;
use super::line::{End, Standing, Through, Way};
use crate::consumer::ControlConsumer;
use crate::{Consumer, Delivery, Event, Listener, Queue};

/// What is consumed.
pub(super) enum Wanted {
    Queue(Queue, u16),
    Control(Listener),
}

/// The role's hold on it.
struct Control {
    stopped: CancellationToken,
    gone: CancellationToken,
}

impl ControlConsumer for Control {
    fn stop(&self) -> BoxFuture<'_, ()> {
        self.stopped.cancel();
        std::future::ready(()).boxed()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

pub(super) fn start(end: &Arc<End>, wanted: Wanted, events: mpsc::Sender<Event>) -> Box<dyn ControlConsumer> {
    let (stopped, gone) = (CancellationToken::new(), CancellationToken::new());
    let pump = Pump { end: Arc::downgrade(end), wanted, events, stopped: stopped.clone() };
    let until = gone.clone();
    tokio::spawn(async move { until.run_until_cancelled_owned(pump.run()).await });
    Box::new(Control { stopped, gone })
}

struct Pump {
    end: Weak<End>,
    wanted: Wanted,
    events: mpsc::Sender<Event>,
    stopped: CancellationToken,
}

impl Pump {
    async fn run(self) {
        while let Some(end) = self.end.upgrade()
            && let Some(standing) = end.connected().await
            && !self.stopped.is_cancelled()
        {
            let Some(inner) = end.inner(&standing).await else { continue };
            let mut consumer = match &self.wanted {
                Wanted::Queue(queue, prefetch) => inner.consume(queue, *prefetch),
                Wanted::Control(listener) => inner.listen(listener),
            };
            let name: Arc<str> = match &self.wanted {
                Wanted::Queue(queue, _) => queue.name().into(),
                Wanted::Control(_) => "control".into(),
            };
            drop((inner, end));
            self.carry(&mut consumer, &standing, &name).await;
            // What it had handed out is void on the broker's side already.
            drop(consumer);
            if self.stopped.is_cancelled() {
                return;
            }
            let why = "the connection ended".to_owned();
            if self.events.send(Event::Interrupted { why }).await.is_err() {
                return;
            }
        }
    }

    /// Until the role learns of the connection's end.
    async fn carry(&self, consumer: &mut Consumer, standing: &Standing, queue: &Arc<str>) {
        let mut takes = true;
        loop {
            tokio::select! {
                biased;
                () = standing.broken.cancelled() => return,
                () = self.stopped.cancelled(), if takes => {
                    consumer.stop().await;
                    takes = false;
                }
                event = consumer.next(), if takes => match event {
                    // The broker's side is over; the role's side learns of it in time.
                    None => takes = false,
                    Some(Event::Delivery(delivery)) => self.hand_over(delivery, standing, queue).await,
                    Some(event) => {
                        // Of the end of the connection the role hears by the connection.
                        let over = self.end.upgrade().is_none_or(|end| end.inner(standing).now_or_never().flatten().is_none());
                        if !over {
                            self.events.send(event).await.ok();
                        }
                    }
                },
            }
        }
    }

    async fn hand_over(&self, mut delivery: Delivery, standing: &Standing, queue: &Arc<str>) {
        let Some(end) = self.end.upgrade() else {
            delivery.settle = None;
            return;
        };
        if end.travel(Way::FromBroker, standing).await.is_none() {
            delivery.settle = None;
            return;
        }
        if let Ok(envelope) = &delivery.envelope {
            let redelivered = delivery.redelivered;
            if end.sky.see(&Seen::Delivered { to: &end.role.name, queue, envelope, redelivered }) {
                delivery.settle = None;
                end.die().await;
            }
        }
        if let Some(inner) = delivery.settle.take() {
            let envelope = delivery.envelope.as_ref().ok().cloned();
            let (generation, queue) = (standing.generation, Arc::clone(queue));
            delivery.settle = Some(Box::new(Through { end: Arc::downgrade(&end), generation, inner, queue, envelope }));
        }
        drop(end);
        if let Err(mpsc::error::SendError(Event::Delivery(back))) = self.events.send(Event::Delivery(delivery)).await {
            back.requeue().await;
        }
    }
}
