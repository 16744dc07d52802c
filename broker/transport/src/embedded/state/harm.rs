//! What can happen to queues from outside: purged, deleted, in another order, a message twice.
//!
//! Only for weather. What consumers hold survives a purge and dies with its queue, as on RabbitMQ.

use super::super::queues::{QueueName, Stored};
use super::State;
use crate::{Binding, Event};

impl State {
    /// Names, waiting and held messages of every queue, by name.
    pub(crate) fn census(&self) -> Vec<(String, u64, u64)> {
        let held = |name: &QueueName| self.held.values().filter(|held| held.queue == *name).count() as u64;
        let mut all: Vec<_> =
            self.queues.iter().map(|(name, queue)| (name.to_string(), queue.len(), held(name))).collect();
        all.sort();
        all
    }

    /// Removes what waits in a queue.
    pub(crate) fn purge(&mut self, name: &str) -> u64 {
        self.queues.get_mut(name).map_or(0, |queue| queue.take_all().len() as u64)
    }

    /// Removes a queue with all that is in it, also what is held. Its consumers wait for another one.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let Some(queue) = self.queues.remove(name) else { return false };
        let name: QueueName = name.into();
        let bindings: Vec<Binding> = queue.spec.bindings;
        for binding in &bindings {
            self.routes.unbind(binding, &name);
        }
        self.held.retain(|_, held| held.queue != name);
        let mut consumers: Vec<_> = self.consumers.iter_mut().filter(|(_, of)| of.queue == name).collect();
        consumers.sort_by_key(|(id, _)| **id);
        for (id, consumer) in consumers {
            consumer.holds.clear();
            consumer.lined_up = false;
            if !consumer.stopped {
                consumer.events.try_send(Event::Interrupted { why: "the queue was deleted".to_owned() }).ok();
                self.waiting_for_queue.insert(*id);
            }
        }
        true
    }

    /// Puts what waits in a queue into the order that `choose(n)`, a number below `n`, gives.
    pub(crate) fn shuffle(&mut self, name: &str, mut choose: impl FnMut(usize) -> usize) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        let mut waiting = queue.take_all();
        while !waiting.is_empty() {
            queue.push(waiting.swap_remove(choose(waiting.len())));
        }
    }

    /// Puts a copy of one waiting message behind the others.
    pub(crate) fn repeat(&mut self, name: &str, mut choose: impl FnMut(usize) -> usize) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        let waiting = queue.take_all();
        let copy: Option<Stored> = (!waiting.is_empty()).then(|| waiting[choose(waiting.len())].clone());
        waiting.into_iter().chain(copy).for_each(|message| queue.push(message));
        self.hand_out(&name.into());
    }
}
