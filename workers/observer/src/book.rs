//! What was announced and is not recorded yet, in order. No I/O and no clock of its own.
//!
//! A move is done when each of its commits is recorded or refused; the cursor takes moves only in the
//! order in which they were seen, because a new branch leaves out what an earlier move announces.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use messages::{MessageId, RepositoryName};
use seams::{Defect, planted};

use crate::walk::{Move, Sighting, Update};

/// The most announcements that wait for their answer at once.
const WINDOW: usize = 200;
/// The longest wait before an unanswered announcement is repeated.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// One announcement on its way.
#[derive(Debug)]
struct Open {
    sighting: Sighting,
    /// The moves that wait for it: a ref may come by the same commit twice.
    moves: Vec<u64>,
    due: Instant,
    /// How long the next answer is waited for.
    wait: Duration,
    /// It lies in the queue, or did.
    announced: bool,
    missing: u32,
}

#[derive(Debug)]
struct PendingMove {
    updates: Vec<Update>,
    /// Commits that are not recorded.
    open: usize,
}

/// The announcements of one repository.
#[derive(Debug)]
pub struct Book {
    repository: RepositoryName,
    patience: Duration,
    moves: VecDeque<PendingMove>,
    /// The number of the first of `moves`.
    first: u64,
    queue: VecDeque<(u64, Sighting)>,
    open: HashMap<MessageId, Open>,
    /// The order in which the open ones were seen.
    order: BTreeMap<u64, MessageId>,
    next: u64,
}

impl Book {
    /// `patience` is how long the first answer to an announcement is waited for.
    pub fn new(repository: RepositoryName, patience: Duration) -> Self {
        let (moves, queue, open, order) = (VecDeque::new(), VecDeque::new(), HashMap::new(), BTreeMap::new());
        Self { repository, patience, moves, first: 0, queue, open, order, next: 0 }
    }

    /// Takes a move in; its commits are announced when it is their turn.
    pub fn add(&mut self, new: Move) {
        let number = self.first + self.moves.len() as u64;
        self.moves.push_back(PendingMove { updates: new.updates, open: new.sightings.len() });
        self.queue.extend(new.sightings.into_iter().map(|sighting| (number, sighting)));
    }

    /// Commits that are waiting for their first announcement.
    pub fn backlog(&self) -> usize {
        self.queue.len()
    }

    /// Whether every move is done.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// At most `most` announcements to make now, oldest first.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<(MessageId, Sighting)> {
        while self.open.len() < WINDOW {
            let Some((number, sighting)) = self.queue.pop_front() else { break };
            let id = id_of(&self.repository, &sighting);
            match self.open.get_mut(&id) {
                Some(open) => open.moves.push(number),
                None => {
                    self.order.insert(self.next, id);
                    self.next += 1;
                    let open = Open {
                        sighting,
                        moves: vec![number],
                        due: now,
                        wait: self.patience,
                        announced: false,
                        missing: 0,
                    };
                    self.open.insert(id, open);
                }
            }
        }
        let due = self.order.values().filter_map(|id| Some((*id, self.open.get(id)?)));
        due.filter(|(_, open)| open.due <= now).take(most).map(|(id, open)| (id, open.sighting.clone())).collect()
    }

    /// When the next announcement is due, if any is open.
    pub fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }

    /// It lies in the queue: wait for the answer, each time longer, so that a dispatcher that is away
    /// for hours does not find the same commit a thousand times.
    pub fn published(&mut self, id: MessageId, now: Instant) {
        if planted(Defect::CursorBeforeRecorded) {
            self.settle(id);
        }
        if let Some(open) = self.open.get_mut(&id) {
            open.due = now + open.wait;
            open.announced = true;
            open.wait = (open.wait * 2).min(LONGEST_WAIT.max(self.patience));
        }
    }

    /// It could not be published or read: try again after `wait`.
    pub fn postponed(&mut self, id: MessageId, now: Instant, wait: Duration) {
        if let Some(open) = self.open.get_mut(&id) {
            open.due = now + wait;
            open.announced = false;
        }
    }

    /// The commit was not found; returns how many times by now.
    pub fn missing(&mut self, id: MessageId) -> u32 {
        self.open.get_mut(&id).map_or(0, |open| {
            open.missing += 1;
            open.missing
        })
    }

    /// Answers may have been lost: announce everything again now.
    pub fn all_due(&mut self, now: Instant) {
        for open in self.open.values_mut() {
            (open.due, open.wait) = (now, self.patience);
        }
    }

    /// What could not be announced is tried again now.
    pub fn hurry(&mut self, now: Instant) {
        for open in self.open.values_mut().filter(|open| !open.announced) {
            open.due = open.due.min(now);
        }
    }

    /// It is recorded, or never will be. Returns what it was, if it was open here.
    pub fn settle(&mut self, id: MessageId) -> Option<Sighting> {
        let open = self.open.remove(&id)?;
        self.order.retain(|_, other| *other != id);
        for number in open.moves {
            let index = usize::try_from(number - self.first).ok()?;
            if let Some(waiting) = self.moves.get_mut(index) {
                waiting.open -= 1;
            }
        }
        Some(open.sighting)
    }

    /// What the cursor may take over: the updates of all moves at the front that are done, if there are
    /// any. The first sight of an empty repository is such a move too, without an update.
    pub fn finished(&mut self) -> Option<Vec<Update>> {
        let mut updates = None;
        while let Some(done) = self.moves.pop_front_if(|first| first.open == 0) {
            self.first += 1;
            updates.get_or_insert_with(Vec::new).extend(done.updates);
        }
        updates
    }
}

fn id_of(repository: &RepositoryName, sighting: &Sighting) -> MessageId {
    // Has to be what `CommitSeen::message_id` says; a test holds the two together.
    MessageId::of(&["commit", repository.as_str(), sighting.ref_name.as_str(), sighting.commit.as_str()])
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
