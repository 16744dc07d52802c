//! Weather: the broker inside the process as seen through a network and a server that fail on order.
//!
//! For the simulation, on paused time, and for `drill`, on real time: it waits only by tokio's clock and
//! chooses only by its own dice, so the same seed and the same calls give the same weather. Between a role
//! and the queues stands a [`Line`], which can be slow, cut, held in one direction or both, and which is
//! rebuilt as the client of a real broker rebuilds its own. Must not know: what messages mean.

mod dice;
mod line;
mod pump;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use messages::Envelope;

use super::state::{State, locked};
use super::{Backend, Embedded};
use crate::error::PublishError;
use crate::{Broker, Exchange, Outgoing, Role};
use dice::Dice;
use line::End;
pub(crate) use line::Line;

/// How many published messages are remembered, to come again.
const REMEMBERED: usize = 200;

/// What happens by chance, in thousandths of all chances. The default is fine weather.
#[derive(Debug, Clone, Default)]
pub struct Climate {
    /// The longest time that a message is on its way.
    pub delay: Duration,
    /// A published message is queued twice.
    pub duplicate: u32,
    /// The connection ends before a message arrives.
    pub lose_message: u32,
    /// The connection ends between a message's arrival and its confirm.
    pub lose_confirm: u32,
    /// The connection ends between an ack and its arrival.
    pub lose_ack: u32,
    /// An answer is lost.
    pub lose_answer: u32,
    /// With a published message an old one comes again.
    pub echo: u32,
}

/// What is held up on a role's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing reaches the broker.
    ToBroker,
    /// Nothing reaches the role.
    FromBroker,
    /// Neither.
    Both,
    /// Neither, and the role itself does not notice, since it does not run.
    Frozen,
}

/// Something that happens, as a witness sees it.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A message lies in at least one queue.
    Queued {
        /// Who published it.
        by: &'a str,
        /// Where.
        exchange: Exchange,
        /// Under which key.
        key: &'a str,
        /// The message.
        envelope: &'a Envelope,
    },
    /// A message was not taken.
    Refused {
        /// Who published it.
        by: &'a str,
        /// Under which key.
        key: &'a str,
        /// Why.
        why: &'a PublishError,
    },
    /// A message is handed to a role.
    Delivered {
        /// To whom.
        to: &'a str,
        /// From which queue.
        queue: &'a str,
        /// The message.
        envelope: &'a Envelope,
        /// Whether it was delivered before.
        redelivered: bool,
    },
    /// A role settles a message, and the broker is about to hear of it.
    Settled {
        /// Who.
        by: &'a str,
        /// From which queue.
        queue: &'a str,
        /// The message.
        envelope: &'a Envelope,
        /// `ack`, `requeue` or `dead letter`.
        how: &'static str,
    },
    /// An answer is on its way.
    Answered {
        /// Who gives it.
        by: &'a str,
        /// The answer.
        envelope: &'a Envelope,
    },
    /// A connection changed.
    Link {
        /// Whose.
        of: &'a str,
        /// Its new state.
        what: &'a str,
    },
}

type Witness = Box<dyn FnMut(&Seen<'_>) -> bool + Send>;

/// The broker and its weather.
#[derive(Clone)]
pub struct Weather {
    sky: Arc<Sky>,
}

/// What all connections share.
pub(crate) struct Sky {
    broker: Embedded,
    inside: Mutex<Inside>,
    /// Apart from the rest, for it is called in the middle of things.
    witness: Mutex<Option<Witness>>,
}

struct Inside {
    dice: Dice,
    climate: Climate,
    ends: Vec<Weak<End>>,
    refusing: BTreeSet<Exchange>,
    is_down: bool,
    is_alarmed: bool,
    past: VecDeque<Outgoing>,
    faults: BTreeMap<&'static str, u64>,
}

impl Weather {
    /// A broker under a clear sky; all chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let inside = Inside {
            dice: Dice::new(seed),
            climate: Climate::default(),
            ends: Vec::new(),
            refusing: BTreeSet::new(),
            is_down: false,
            is_alarmed: false,
            past: VecDeque::new(),
            faults: BTreeMap::new(),
        };
        let sky = Sky { broker: Embedded::new(), inside: Mutex::new(inside), witness: Mutex::new(None) };
        Self { sky: Arc::new(sky) }
    }

    /// A connection for one role. It ends with the last clone, or [`Broker::close`].
    pub fn connect(&self, role: Role) -> Broker {
        let line = Line::open(Arc::clone(&self.sky), role);
        self.sky.inside().ends.push(line.end());
        Broker { backend: Backend::Weather(line) }
    }

    /// Who sees everything from now on. Its `true` means: whoever did this dies in the act.
    pub fn witness(&self, witness: impl FnMut(&Seen<'_>) -> bool + Send + 'static) {
        *self.sky.witness.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(witness));
    }

    /// What happens by chance from now on.
    pub fn set(&self, climate: Climate) {
        self.sky.inside().climate = climate;
    }

    /// The connection of a role ends; it connects again.
    pub fn cut(&self, role: &str) {
        self.sky.count("connection cut");
        self.of(role).iter().for_each(|end| end.cut("the connection was cut"));
    }

    /// The process of a role is gone, with its connection.
    pub fn kill(&self, role: &str) {
        self.of(role).iter().for_each(|end| end.close());
    }

    /// Holds up a role's connection until [`Weather::release`].
    pub fn hold(&self, role: &str, hold: Hold) {
        self.sky.count(match hold {
            Hold::ToBroker => "nothing to the broker",
            Hold::FromBroker => "nothing from the broker",
            Hold::Both => "partition",
            Hold::Frozen => "freeze",
        });
        self.of(role).iter().for_each(|end| end.hold(hold));
    }

    /// Ends every hold on a role's connection.
    pub fn release(&self, role: &str) {
        self.of(role).iter().for_each(|end| end.release());
    }

    /// Removes what waits in a queue.
    pub fn purge(&self, queue: &str) {
        self.sky.count("queue purged");
        self.with_state(|state| state.purge(queue));
    }

    /// Removes a queue.
    pub fn delete(&self, queue: &str) {
        self.sky.count("queue deleted");
        self.with_state(|state| state.delete(queue));
    }

    /// Puts what waits in a queue into another order.
    pub fn shuffle(&self, queue: &str) {
        self.sky.count("queue reordered");
        let mut dice = self.sky.inside().dice.split();
        self.with_state(|state| state.shuffle(queue, |below| dice.below(below)));
    }

    /// Puts a copy of one waiting message behind the others.
    pub fn repeat(&self, queue: &str) {
        self.sky.count("message repeated");
        let mut dice = self.sky.inside().dice.split();
        self.with_state(|state| state.repeat(queue, |below| dice.below(below)));
    }

    /// The broker stops; what is in its queues stays. It is there again after [`Weather::start`].
    pub fn stop(&self) {
        self.sky.count("broker restarted");
        self.sky.inside().is_down = true;
        self.all().iter().for_each(|end| end.cut("the broker stopped"));
    }

    /// The broker is there again.
    pub fn start(&self) {
        self.sky.inside().is_down = false;
    }

    /// The broker is replaced by an empty one.
    pub fn wipe(&self) {
        self.sky.count("broker wiped");
        let ends = self.all();
        ends.iter().for_each(|end| end.cut("the broker was replaced"));
        self.with_state(|state| {
            for (name, _, _) in state.census() {
                state.delete(&name);
            }
        });
    }

    /// Memory or disk run short: no publishes are taken, until it is over.
    pub fn alarm(&self, on: bool) {
        if on {
            self.sky.count("alarm");
        }
        self.sky.inside().is_alarmed = on;
        self.all().iter().for_each(|end| end.alarm(on));
    }

    /// Queues of this exchange are full: publishes are refused, until they are not.
    pub fn refuse(&self, exchange: Exchange, on: bool) {
        let mut inside = self.sky.inside();
        if on {
            *inside.faults.entry("queue full").or_default() += 1;
            inside.refusing.insert(exchange);
        } else {
            inside.refusing.remove(&exchange);
        }
    }

    /// From now on nothing fails any more; what is held up goes on.
    pub fn clear(&self) {
        {
            let mut inside = self.sky.inside();
            inside.climate = Climate { delay: Duration::from_millis(2), ..Climate::default() };
            inside.refusing.clear();
            inside.is_down = false;
        }
        self.alarm(false);
        self.all().iter().for_each(|end| end.release());
    }

    /// Name, waiting and held messages of every queue.
    pub fn census(&self) -> Vec<(String, u64, u64)> {
        self.with_state(|state| state.census())
    }

    /// How often each fault happened.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.sky.inside().faults.clone()
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        locked(&self.sky.broker.state, act)
    }

    fn all(&self) -> Vec<Arc<End>> {
        let mut inside = self.sky.inside();
        inside.ends.retain(|end| end.strong_count() > 0);
        inside.ends.iter().filter_map(Weak::upgrade).collect()
    }

    fn of(&self, role: &str) -> Vec<Arc<End>> {
        self.all().into_iter().filter(|end| end.role.name == role).collect()
    }
}

impl Sky {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, fault: &'static str) {
        *self.inside().faults.entry(fault).or_default() += 1;
    }

    /// How long the next message travels.
    fn delay(&self) -> Duration {
        let mut inside = self.inside();
        let most = inside.climate.delay;
        most.mul_f64(inside.dice.share())
    }

    /// Whether a fault of this kind happens now.
    fn strikes(&self, fault: &'static str, of: impl FnOnce(&Climate) -> u32) -> bool {
        let mut inside = self.inside();
        let thousandths = of(&inside.climate) as usize;
        let strikes = thousandths > 0 && inside.dice.below(1000) < thousandths;
        if strikes {
            *inside.faults.entry(fault).or_default() += 1;
        }
        strikes
    }

    /// Tells the witness. True: whoever did it dies.
    fn see(&self, seen: &Seen<'_>) -> bool {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner).as_mut().is_some_and(|witness| witness(seen))
    }

    /// A message arrives at the broker. `true` beside the answer: its publisher dies.
    fn arrive(&self, by: &str, to: &super::Connection, message: Outgoing) -> (Result<(), PublishError>, bool) {
        let Outgoing { exchange, key, envelope } = message.clone();
        let result = if self.inside().refusing.contains(&exchange) {
            Err(PublishError::QueueFull { exchange: exchange.name().to_owned(), key: key.clone() })
        } else {
            to.publish_all(vec![message.clone()]).pop().unwrap_or(Ok(()))
        };
        let dies = match &result {
            Ok(()) => self.see(&Seen::Queued { by, exchange, key: &key, envelope: &envelope }),
            Err(why) => self.see(&Seen::Refused { by, key: &key, why }),
        };
        if result.is_ok() {
            self.repeat_some(to, message);
        }
        (result, dies)
    }

    /// The message once more, or an old one.
    fn repeat_some(&self, to: &super::Connection, message: Outgoing) {
        if self.strikes("duplicate", |climate| climate.duplicate) {
            drop(to.publish_all(vec![message.clone()]));
        }
        let echo = self.strikes("old message again", |climate| climate.echo);
        let old = {
            let mut inside = self.inside();
            if inside.past.len() >= REMEMBERED {
                inside.past.pop_front();
            }
            // Answers to questions and probes say nothing later.
            if message.exchange != Exchange::Control {
                inside.past.push_back(message);
            }
            let length = inside.past.len();
            if echo && length > 0 {
                let place = inside.dice.below(length);
                inside.past.get(place).cloned()
            } else {
                None
            }
        };
        if let Some(old) = old {
            drop(to.publish_all(vec![old]));
        }
    }
}
