//! One role's connection through the weather, rebuilt for ever as the client of a real broker does.
//!
//! Both sides of a connection learn of its end at their own time: the broker by the end of the socket or
//! by two heartbeats that it did not hear, the role likewise. Must not know: queues, consumers' loops.

#[path = "through.rs"]
mod through;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use messages::Envelope;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(super) use self::through::Through;
use super::super::Asking;
use super::super::state::{State, locked};
use super::pump::{self, Wanted};
use super::{Hold, Seen, Sky};
use crate::consumer::{How, Settle};
use crate::error::{ConsumeError, PublishError, RefusedError, RequestError};
use crate::{Backend, Consumer, Depth, Link, Listener, Outgoing, PUBLISH_DEADLINE, Queue, Role};

/// Two heartbeats of 5 s: after so long a side gives up what it does not hear.
const UNHEARD: Duration = Duration::from_secs(10);
/// The first reconnect comes at once; later ones wait up to the longest.
const FIRST_RECONNECT: Duration = Duration::from_millis(5);
const LONGEST_RECONNECT: Duration = Duration::from_secs(5);

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToBroker,
    FromBroker,
}

/// A role's end. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Line {
    end: Arc<End>,
}

pub(crate) struct End {
    /// Itself, for the tasks that rebuild it.
    me: Weak<End>,
    pub(super) sky: Arc<Sky>,
    pub(super) role: Role,
    link: watch::Sender<Link>,
    state: Mutex<Connected>,
    /// Wakes whoever waits for a change of the state.
    changed: Notify,
}

/// Where the connection stands.
struct Connected {
    generation: u64,
    /// The broker's side; none once the broker has given the connection up.
    inner: Option<super::super::Connection>,
    /// Ends when the role's side learns of the end.
    broken: CancellationToken,
    hold: Option<Hold>,
    /// Tells one hold from the next.
    holds: u64,
    closed: bool,
    /// Acks that are held up.
    pending: Vec<(Box<dyn Settle>, How)>,
}

/// What is known of a connection while it stands.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) generation: u64,
    pub(super) broken: CancellationToken,
}

impl Line {
    pub(super) fn open(sky: Arc<Sky>, role: Role) -> Self {
        let state = Connected {
            generation: 0,
            inner: None,
            broken: CancellationToken::new(),
            hold: None,
            holds: 0,
            closed: false,
            pending: Vec::new(),
        };
        let link = watch::Sender::new(Link::Down { why: "not connected yet".to_owned() });
        let end = Arc::new_cyclic(|me| End {
            me: me.clone(),
            sky,
            role,
            link,
            state: Mutex::new(state),
            changed: Notify::new(),
        });
        if !end.sky.inside().is_down {
            end.connect();
        } else {
            end.reconnect();
        }
        Self { end }
    }

    pub(super) fn end(&self) -> Weak<End> {
        Arc::downgrade(&self.end)
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.end.link.subscribe()
    }

    pub(crate) async fn wait_until_up(&self) -> Result<(), RefusedError> {
        let mut link = self.end.link.subscribe();
        drop(link.wait_for(Link::is_up).await);
        Ok(())
    }

    pub(crate) async fn publish_all(&self, outgoing: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let count = outgoing.len();
        let all = |error: PublishError| vec![Err(error); count];
        let standing = match self.end.standing() {
            Ok(standing) => standing,
            Err(why) => return all(PublishError::Unreachable { why }),
        };
        if let Link::Blocked { why, .. } = &*self.end.link.borrow() {
            return all(PublishError::Unreachable { why: why.clone() });
        }
        match timeout(PUBLISH_DEADLINE, self.end.publish(&standing, outgoing)).await {
            Ok(Some(results)) => results,
            Ok(None) => all(PublishError::Unknown { why: "the connection ended".to_owned() }),
            Err(_) => all(PublishError::Unknown { why: "no confirm in time".to_owned() }),
        }
    }

    pub(crate) async fn ensure(&self, queues: &[Queue]) -> Result<Vec<Queue>, ConsumeError> {
        self.there_and_back(|inner| inner.ensure(queues)).await
    }

    pub(crate) async fn depth(&self, queue: &Queue) -> Result<Depth, ConsumeError> {
        self.there_and_back(|inner| inner.depth(queue)).await
    }

    async fn there_and_back<T>(
        &self,
        act: impl FnOnce(&super::super::Connection) -> Result<T, ConsumeError>,
    ) -> Result<T, ConsumeError> {
        let unreachable = |why: String| ConsumeError::Unreachable { why };
        let standing = self.end.standing().map_err(unreachable)?;
        let ended = || unreachable("the connection ended".to_owned());
        self.end.travel(Way::ToBroker, &standing).await.ok_or_else(ended)?;
        let inner = self.end.inner(&standing).await.ok_or_else(ended)?;
        let result = act(&inner);
        self.end.travel(Way::FromBroker, &standing).await.ok_or_else(ended)?;
        result
    }

    pub(crate) fn consume(&self, queue: &Queue, prefetch: u16) -> Consumer {
        self.start(Wanted::Queue(queue.clone(), prefetch), usize::from(prefetch))
    }

    pub(crate) fn listen(&self, listener: &Listener) -> Consumer {
        self.start(Wanted::Control(listener.clone()), 1000)
    }

    fn start(&self, wanted: Wanted, room: usize) -> Consumer {
        let (sender, events) = mpsc::channel(room.max(1) + 16);
        let control = pump::start(&self.end, wanted, sender);
        Consumer { events, control }
    }

    pub(crate) async fn request(&self, question: Outgoing, patience: Duration) -> Result<Envelope, RequestError> {
        let unreachable = |why| RequestError::NotSent(PublishError::Unreachable { why });
        let standing = self.end.standing().map_err(unreachable)?;
        if let Link::Blocked { why, .. } = &*self.end.link.borrow() {
            return Err(unreachable(why.clone()));
        }
        let ended = || RequestError::NotSent(PublishError::Unknown { why: "the connection ended".to_owned() });
        let whole = async {
            self.end.travel(Way::ToBroker, &standing).await.ok_or_else(ended)?;
            let inner = self.end.inner(&standing).await.ok_or_else(ended)?;
            let state: &Mutex<State> = &inner.end.state;
            let (address, answer) = locked(state, |state| state.ask(inner.end.id));
            let asking = Asking { state, address };
            let envelope = question.envelope.answer_to(asking.address.as_str(), asking.address.as_str());
            let (sent, dies) = self.end.sky.arrive(&self.end.role.name, &inner, Outgoing { envelope, ..question });
            if dies {
                self.end.die().await;
            }
            sent?;
            let answer = standing.broken.run_until_cancelled(answer).await;
            let answer = answer.and_then(Result::ok).ok_or(RequestError::Silence(patience))?;
            self.end.travel(Way::FromBroker, &standing).await.ok_or(RequestError::Silence(patience))?;
            Ok(answer)
        };
        timeout(patience, whole).await.unwrap_or(Err(RequestError::Silence(patience)))
    }

    pub(crate) async fn reply(&self, question: &Envelope, answer: Envelope) -> Result<(), PublishError> {
        let standing = self.end.standing().map_err(|why| PublishError::Unreachable { why })?;
        let ended = || PublishError::Unknown { why: "the connection ended".to_owned() };
        self.end.travel(Way::ToBroker, &standing).await.ok_or_else(ended)?;
        let inner = self.end.inner(&standing).await.ok_or_else(ended)?;
        if self.end.sky.strikes("answer lost", |climate| climate.lose_answer) {
            return Ok(());
        }
        if self.end.sky.see(&Seen::Answered { by: &self.end.role.name, envelope: &answer }) {
            self.end.die().await;
        }
        inner.reply(question, answer)
    }

    pub(crate) fn close(&self) {
        self.end.close();
    }
}

impl End {
    fn state(&self) -> MutexGuard<'_, Connected> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection as the role sees it.
    pub(super) fn standing(&self) -> Result<Standing, String> {
        match &*self.link.borrow() {
            Link::Down { why } => Err(why.clone()),
            Link::Up { .. } | Link::Blocked { .. } => {
                let state = self.state();
                Ok(Standing { generation: state.generation, broken: state.broken.clone() })
            }
        }
    }

    /// Waits until the connection stands; `None` when it never will again.
    pub(super) async fn connected(&self) -> Option<Standing> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.state().closed {
                return None;
            }
            if let Ok(standing) = self.standing() {
                return Some(standing);
            }
            changed.await;
        }
    }

    /// Waits until something has come through; `None`: the connection ended before.
    pub(super) async fn travel(&self, way: Way, standing: &Standing) -> Option<()> {
        let delay = self.sky.delay();
        let arrive = async {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if !self.is_held(way) {
                    return;
                }
                changed.await;
            }
        };
        standing.broken.run_until_cancelled(arrive).await
    }

    fn is_held(&self, way: Way) -> bool {
        match self.state().hold {
            None => false,
            Some(Hold::ToBroker) => way == Way::ToBroker,
            Some(Hold::FromBroker) => way == Way::FromBroker,
            Some(Hold::Both | Hold::Frozen) => true,
        }
    }

    /// The broker's side. What arrives when it is gone is lost, which the role learns with the end.
    pub(super) async fn inner(&self, standing: &Standing) -> Option<super::super::Connection> {
        let inner = {
            let state = self.state();
            if state.generation == standing.generation { state.inner.clone() } else { None }
        };
        if inner.is_none() {
            standing.broken.cancelled().await;
        }
        inner
    }

    /// `None`: whether they arrived is not known.
    async fn publish(&self, standing: &Standing, outgoing: Vec<Outgoing>) -> Option<Vec<Result<(), PublishError>>> {
        self.travel(Way::ToBroker, standing).await?;
        if self.sky.strikes("message lost with its connection", |climate| climate.lose_message) {
            self.cut("the connection was reset");
            return None;
        }
        let inner = self.inner(standing).await?;
        let mut results = Vec::with_capacity(outgoing.len());
        for message in outgoing {
            let (result, dies) = self.sky.arrive(&self.role.name, &inner, message);
            if dies {
                self.die().await;
            }
            results.push(result);
        }
        if self.sky.strikes("confirm lost", |climate| climate.lose_confirm) {
            self.cut("the connection was reset");
            return None;
        }
        self.travel(Way::FromBroker, standing).await?;
        Some(results)
    }

    /// Whoever gets here is dead.
    pub(super) async fn die(&self) {
        self.close();
        std::future::pending::<()>().await;
    }

    fn connect(&self) {
        let role = Role { name: self.role.name.clone(), declares_topology: self.role.declares_topology };
        let Backend::Embedded(inner) = self.sky.broker.connect(role).backend else { return };
        let (generation, blocked) = {
            let mut state = self.state();
            state.generation += 1;
            state.inner = Some(inner);
            state.broken = CancellationToken::new();
            (state.generation, self.sky.inside().is_alarmed)
        };
        self.link.send_replace(link(generation, blocked));
        self.sky.see(&Seen::Link { of: &self.role.name, what: "up" });
        self.changed.notify_waiters();
    }

    /// Both sides learn of the end, and the role connects again.
    pub(super) fn cut(&self, why: &str) {
        if self.end(why) {
            self.sky.see(&Seen::Link { of: &self.role.name, what: "down" });
            self.reconnect();
        }
    }

    /// Whether there was something to end on the role's side.
    fn end(&self, why: &str) -> bool {
        let (inner, was_up) = {
            let mut state = self.state();
            state.pending.clear();
            let was_up = !state.closed && !state.broken.is_cancelled() && state.generation > 0;
            (state.inner.take(), was_up)
        };
        if let Some(inner) = inner {
            inner.close();
        }
        if was_up {
            self.link.send_replace(Link::Down { why: why.to_owned() });
            self.state().broken.cancel();
            self.changed.notify_waiters();
        }
        was_up
    }

    /// The end for good.
    pub(super) fn close(&self) {
        self.end("the connection was closed");
        self.state().closed = true;
        self.link.send_replace(Link::Down { why: "the connection was closed".to_owned() });
        self.changed.notify_waiters();
    }

    fn reconnect(&self) {
        let me = self.me.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_RECONNECT;
            loop {
                sleep(pause).await;
                let Some(end) = me.upgrade() else { return };
                let (closed, held) = {
                    let state = end.state();
                    (state.closed, state.hold.is_some())
                };
                if closed {
                    return;
                }
                if !held && !end.sky.inside().is_down {
                    end.connect();
                    return;
                }
                pause = (pause * 3).min(LONGEST_RECONNECT);
            }
        });
    }

    pub(super) fn alarm(&self, on: bool) {
        let generation = self.state().generation;
        self.link.send_if_modified(|now| {
            let changes = match now {
                Link::Down { .. } => false,
                Link::Up { .. } => on,
                Link::Blocked { .. } => !on,
            };
            if changes {
                *now = link(generation, on);
            }
            changes
        });
    }

    pub(super) fn hold(&self, hold: Hold) {
        let number = {
            let mut state = self.state();
            state.hold = Some(hold);
            state.holds += 1;
            state.holds
        };
        let me = self.me.clone();
        tokio::spawn(async move {
            sleep(UNHEARD).await;
            let Some(end) = me.upgrade() else { return };
            let same = {
                let state = end.state();
                state.hold == Some(hold) && state.holds == number
            };
            if !same {
                return;
            }
            if hold == Hold::Frozen {
                // Only the broker runs, so only the broker learns of it.
                let inner = end.state().inner.take();
                if let Some(inner) = inner {
                    inner.close();
                }
            } else {
                end.cut("nothing was heard for two heartbeats");
            }
        });
    }

    pub(super) fn release(&self) {
        let (pending, lost) = {
            let mut state = self.state();
            if state.hold.take().is_none() {
                return;
            }
            // Whoever was frozen has not noticed.
            let lost = state.inner.is_none() && !state.broken.is_cancelled();
            (std::mem::take(&mut state.pending), lost)
        };
        if lost {
            self.cut("the broker gave the connection up");
        } else {
            for (settle, how) in pending {
                drop(settle.settle(how).now_or_never());
            }
        }
        self.changed.notify_waiters();
    }
}

fn link(generation: u64, blocked: bool) -> Link {
    if blocked {
        Link::Blocked { generation, why: "an alarm: low on memory or disk".to_owned() }
    } else {
        Link::Up { generation }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}
