//! A simulated observer: the real book of announcements, over a repository that is only a list.
//!
//! What the cursor has taken survives a crash, and nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::{Broker, Event, Exchange, Link, Listener, Outgoing};
use messages::{CommitSeen, Envelope, Incarnation, Message, Recorded};
use observer::{Book, Move, Sighting, Update};
use tokio::time::Instant;

/// The repository, and how far it is recorded.
#[derive(Clone, Default)]
pub struct Repository(Arc<Mutex<Pushed>>);

#[derive(Default)]
struct Pushed {
    commits: Vec<CommitSeen>,
    cursor: usize,
}

impl Repository {
    fn with<T>(&self, act: impl FnOnce(&mut Pushed) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn push(&self, seen: CommitSeen) {
        self.with(|pushed| pushed.commits.push(seen));
    }

    /// Whether everything is recorded.
    pub fn is_recorded(&self) -> bool {
        self.with(|pushed| pushed.cursor == pushed.commits.len())
    }
}

/// How often it looks at the repository.
const LOOK: Duration = Duration::from_millis(500);

pub async fn announce(repository: Repository, broker: Broker, life: Incarnation) {
    let name: messages::ObserverName = match "eye".parse() {
        Ok(name) => name,
        Err(_) => return,
    };
    let mut control = broker.listen(Listener::Observer { name, incarnation: life });
    let mut link = broker.link();
    let Ok(repository_name) = "north".parse() else { return };
    let mut book = Book::new(repository_name, Duration::from_secs(30));
    let mut taken = repository.with(|pushed| pushed.cursor);
    loop {
        let now = || Instant::now().into_std();
        let fresh: Vec<CommitSeen> = repository.with(|pushed| pushed.commits[taken..].to_vec());
        taken += fresh.len();
        for seen in fresh {
            let sighting = Sighting {
                ref_name: seen.ref_name.clone(),
                commit: seen.commit.clone(),
                arrival: seen.arrival,
                skipped_before: 0,
            };
            let update = Update::Set { ref_name: seen.ref_name, commit: seen.commit };
            book.add(Move { sightings: vec![sighting], updates: vec![update] });
        }
        let due = book.due(now(), 50);
        if !due.is_empty() {
            let known = repository.with(|pushed| pushed.commits.clone());
            for (id, sighting) in due {
                let Some(seen) = known.iter().find(|seen| seen.commit == sighting.commit) else { continue };
                let mut seen = seen.clone();
                seen.incarnation = life;
                let Ok(envelope) = Envelope::of(&seen, id) else { continue };
                match broker.publish(Outgoing::new(Exchange::Commits, "north", envelope)).await {
                    Ok(()) => book.published(id, now()),
                    Err(_) => book.postponed(id, now(), Duration::from_secs(1)),
                }
            }
        }
        if let Some(finished) = book.finished() {
            repository.with(|pushed| pushed.cursor += finished.len());
        }
        let next = book.next_due().map_or(Instant::now() + LOOK, Instant::from_std).min(Instant::now() + LOOK);
        tokio::select! {
            biased;
            event = control.next() => match event {
                Some(Event::Delivery(delivery)) => {
                    let recorded = delivery.envelope.as_ref().ok().filter(|envelope| envelope.kind == Recorded::KIND);
                    if let Some(Ok(recorded)) = recorded.map(Envelope::open::<Recorded>) {
                        for id in recorded.commits {
                            book.settle(id);
                        }
                        // A refused commit would be lost; no commit of the simulation is to be refused.
                    }
                }
                Some(Event::Resumed) => book.all_due(now()),
                Some(Event::Interrupted { .. }) => {}
                None => return,
            },
            changed = link.changed() => {
                if changed.is_err() {
                    return;
                }
                if matches!(*link.borrow_and_update(), Link::Up { .. }) {
                    book.hurry(now());
                }
            }
            () = tokio::time::sleep_until(next) => {}
        }
    }
}
