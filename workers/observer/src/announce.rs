//! Take a move, announce its commits, and only when all are recorded move the cursor.
//!
//! One task per repository. It never gives up and never forgets: what is not answered is announced
//! again, after a reconnect at once. Knows neither how moves are found nor what becomes of commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, Exchange, Link, Outgoing, PublishError};
use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use git2::{ErrorCode, Repository};
use messages::{MAX_BODY_BYTES, MessageId, Recorded};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::book::Book;
use crate::cursor::{Cursor, CursorFile};
use crate::describe::{Announcer, describe, pack};
use crate::error::{Fault, Trouble};
use crate::mirror::Objects;
use crate::post::{Line, Post};
use crate::walk::{Move, Sighting};

/// Announcements per round. A round is bounded in bytes as well.
const BATCH: usize = 50;
const BATCH_BYTES: usize = 4 * MAX_BODY_BYTES;
/// So many commits may wait in memory before no more moves are taken.
const MAX_BACKLOG: usize = 10_000;
/// Between tries when the broker or the disk is in the way.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A commit that cannot be found is looked for so many times, a third of the usual patience apart.
/// Objects may be away for a moment (a repack, a mirror made anew); gone for good, it must not hold up
/// the others.
const MISSING_TRIES: u32 = 3;

/// What one announcement came to.
#[derive(Debug)]
enum Outcome {
    Published,
    /// The round was full; it comes first in the next.
    LeftOver,
    Failed(PublishError),
    Missing(String),
    Unreadable(String),
}

type Round = Vec<(MessageId, Sighting, Outcome)>;

/// The announcements of one repository, and where their end is noted.
pub(crate) struct Desk {
    announcer: Announcer,
    objects: Objects,
    broker: Broker,
    book: Book,
    /// None for a single look that shall leave no trace.
    cursor: Option<(CursorFile, Cursor)>,
    recorded: broadcast::Receiver<Arc<Recorded>>,
    line: watch::Receiver<Line>,
    heard: u64,
    link: watch::Receiver<Link>,
    linked: bool,
    patience: Duration,
    pause: Duration,
    fault: Fault,
    refused: Vec<(Sighting, String)>,
}

impl Desk {
    pub(crate) fn new(
        announcer: Announcer,
        objects: Objects,
        broker: Broker,
        post: &Post,
        cursor: Option<(CursorFile, Cursor)>,
        patience: Duration,
    ) -> Self {
        let book = Book::new(announcer.repository.name.clone(), patience);
        let (recorded, line) = (post.recorded.subscribe(), post.line.subscribe());
        let link = broker.link();
        Self {
            announcer,
            objects,
            broker,
            book,
            cursor,
            recorded,
            line,
            heard: 0,
            link,
            linked: true,
            patience,
            pause: SHORTEST_PAUSE,
            fault: Fault::default(),
            refused: Vec::new(),
        }
    }

    /// Works until it is stopped, or until the moves have ended and all of them are recorded. Returns
    /// the commits that the dispatcher refused.
    pub(crate) async fn work(
        mut self,
        mut moves: mpsc::Receiver<Vec<Move>>,
        stop: &CancellationToken,
    ) -> Vec<(Sighting, String)> {
        let mut round: Option<BoxFuture<'static, Round>> = None;
        let mut saving: Option<BoxFuture<'static, Result<(), String>>> = None;
        // When the cursor is to be written, if there is something new in it.
        let mut unsaved: Option<Instant> = None;
        let mut more = true;
        while more || !self.book.is_empty() || unsaved.is_some() || saving.is_some() {
            let listening = self.hear_line();
            let now = Instant::now();
            if round.is_none() && listening {
                let due = self.book.due(now, BATCH);
                if !due.is_empty() {
                    round = Some(self.announce(due));
                }
            }
            if saving.is_none() && unsaved.is_some_and(|due| due <= now) {
                unsaved = None;
                saving = self.save();
            }
            let next = if round.is_none() && listening { self.book.next_due() } else { None };
            let save = unsaved.filter(|_| saving.is_none());
            let wake = [next, save].into_iter().flatten().min().map(tokio::time::Instant::from_std);
            tokio::select! {
                () = stop.cancelled() => break,
                new = moves.recv(), if more && self.book.backlog() < MAX_BACKLOG => match new {
                    Some(new) => new.into_iter().for_each(|new| self.book.add(new)),
                    None => more = false,
                },
                answer = self.recorded.recv() => match answer {
                    Ok(answer) => self.take_answer(&answer),
                    // Answers were lost: what they were about is announced again in time.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                changed = self.line.changed() => if changed.is_err() { break },
                changed = self.link.changed(), if self.linked => {
                    self.linked = changed.is_ok();
                    self.hear_link();
                }
                Some(done) = OptionFuture::from(round.as_mut()) => {
                    round = None;
                    self.take_round(done);
                }
                Some(done) = OptionFuture::from(saving.as_mut()) => {
                    saving = None;
                    if let Err(why) = done {
                        self.in_the_way(&why);
                        unsaved = Some(Instant::now() + LONGEST_PAUSE);
                    }
                }
                Some(()) = OptionFuture::from(wake.map(tokio::time::sleep_until)) => {}
            }
            if let (Some(finished), Some((_, cursor))) = (self.book.finished(), &mut self.cursor) {
                finished.into_iter().for_each(|update| cursor.apply(update));
                // A failed write keeps its pause.
                unsaved.get_or_insert_with(Instant::now);
            }
        }
        // What is recorded and not yet noted would only be announced once more; note it if it is quick.
        if let Some(saving) = saving.or_else(|| unsaved.and_then(|_| self.save())) {
            drop(tokio::time::timeout(LONGEST_PAUSE, saving).await);
        }
        self.refused
    }

    /// The broker takes publishes (again): what could not be published before can be now.
    fn hear_link(&mut self) {
        if matches!(*self.link.borrow_and_update(), Link::Up { .. }) {
            self.pause = SHORTEST_PAUSE;
            self.book.hurry(Instant::now());
        }
    }

    /// Whether answers can arrive. After every interruption all that is open is announced again.
    fn hear_line(&mut self) -> bool {
        let line = *self.line.borrow_and_update();
        if line.up && line.times != self.heard {
            self.heard = line.times;
            self.book.all_due(Instant::now());
        }
        line.up
    }

    fn take_answer(&mut self, answer: &Recorded) {
        for id in &answer.commits {
            if let Some(sighting) = self.book.settle(*id) {
                debug!(repository = %self.announcer.repository.name, ref_name = %sighting.ref_name,
                    commit = %sighting.commit, "commit recorded");
            }
        }
        for refused in &answer.refused {
            if let Some(sighting) = self.book.settle(refused.id) {
                warn!(repository = %self.announcer.repository.name, ref_name = %sighting.ref_name,
                    commit = %sighting.commit, why = refused.why, "commit refused");
                self.refused.push((sighting, refused.why.clone()));
            }
        }
    }

    fn take_round(&mut self, done: Round) {
        let now = Instant::now();
        let mut trouble = None;
        for (id, sighting, outcome) in done {
            match outcome {
                Outcome::Published => {
                    info!(repository = %self.announcer.repository.name, ref_name = %sighting.ref_name,
                        commit = %sighting.commit, "commit announced");
                    self.book.published(id, now);
                }
                Outcome::LeftOver => {}
                Outcome::Failed(cause) => {
                    self.book.postponed(id, now, self.pause);
                    trouble.get_or_insert(cause.to_string());
                }
                Outcome::Unreadable(why) => {
                    self.book.postponed(id, now, self.pause.max(Duration::from_secs(1)));
                    trouble.get_or_insert(why);
                }
                Outcome::Missing(why) if self.book.missing(id) < MISSING_TRIES => {
                    self.book.postponed(id, now, self.patience / 3);
                    trouble.get_or_insert(why);
                }
                Outcome::Missing(why) => {
                    error!(repository = %self.announcer.repository.name, ref_name = %sighting.ref_name,
                        commit = %sighting.commit, why, "commit is gone from the repository and cannot be announced");
                    self.book.settle(id);
                }
            }
        }
        match trouble {
            None => self.works(),
            Some(why) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.in_the_way(&why);
            }
        }
    }

    fn works(&mut self) {
        self.pause = SHORTEST_PAUSE;
        if let Some(after) = self.fault.clear() {
            info!(repository = %self.announcer.repository.name, ?after, "commits are announced again");
        }
    }

    fn in_the_way(&mut self, why: &str) {
        if self.fault.set(why.to_owned()) {
            warn!(repository = %self.announcer.repository.name, why, "commits cannot be announced now; trying on");
        }
    }

    /// Notes how far everything is recorded, without holding up the loop.
    fn save(&self) -> Option<BoxFuture<'static, Result<(), String>>> {
        let (file, cursor) = self.cursor.clone()?;
        let written = tokio::task::spawn_blocking(move || file.write(&cursor));
        let outcome = async move {
            match written.await {
                Ok(written) => written.map_err(|cause| cause.to_string()),
                Err(cause) => Err(cause.to_string()),
            }
        };
        Some(outcome.boxed())
    }

    /// Reads and publishes some commits, oldest first, without holding up the loop.
    fn announce(&self, due: Vec<(MessageId, Sighting)>) -> BoxFuture<'static, Round> {
        let (announcer, objects, broker) = (self.announcer.clone(), self.objects.clone(), self.broker.clone());
        async move {
            let held = Arc::clone(&objects.gate).read_owned().await;
            let names = due.clone();
            let packed = tokio::task::spawn_blocking(move || {
                let _held = held;
                pack_all(&announcer, &objects, due)
            });
            let packed = match packed.await {
                Ok(packed) => packed,
                Err(cause) => {
                    let failed = |(id, sighting)| (id, sighting, Outcome::Unreadable(cause.to_string()));
                    return names.into_iter().map(failed).collect();
                }
            };
            publish_all(&broker, packed).await
        }
        .boxed()
    }
}

type Packed = Vec<(MessageId, Sighting, Result<Outgoing, Outcome>)>;

fn pack_all(announcer: &Announcer, objects: &Objects, due: Vec<(MessageId, Sighting)>) -> Packed {
    let repository =
        Repository::open(&objects.path).map_err(|cause| Trouble::opening(&objects.path, cause).to_string());
    let mut bytes = 0;
    let mut pack_one = |sighting: &Sighting| {
        if bytes > BATCH_BYTES {
            return Err(Outcome::LeftOver);
        }
        let repository = repository.as_ref().map_err(|why| Outcome::Unreadable(why.clone()))?;
        let seen = describe(repository, announcer, sighting).map_err(|cause| {
            let why = format!("read commit {}: {}", sighting.commit, cause.message());
            if cause.code() == ErrorCode::NotFound { Outcome::Missing(why) } else { Outcome::Unreadable(why) }
        })?;
        let envelope = pack(seen).map_err(|cause| Outcome::Unreadable(cause.to_string()))?;
        bytes += envelope.body.len();
        Ok(Outgoing::new(Exchange::Commits, announcer.repository.name.as_str(), envelope))
    };
    let packed = |(id, sighting): (MessageId, Sighting)| {
        let outgoing = pack_one(&sighting);
        (id, sighting, outgoing)
    };
    due.into_iter().map(packed).collect()
}

async fn publish_all(broker: &Broker, packed: Packed) -> Round {
    let outgoing = packed.iter().filter_map(|(_, _, outgoing)| outgoing.as_ref().ok().cloned()).collect();
    let mut answers = broker.publish_all(outgoing).await.into_iter();
    let mut outcome = |outgoing: Result<Outgoing, Outcome>| match outgoing {
        Err(outcome) => outcome,
        Ok(_) => match answers.next() {
            Some(Ok(())) => Outcome::Published,
            Some(Err(cause)) => Outcome::Failed(cause),
            None => Outcome::Failed(PublishError::Unknown { why: "the broker gave no answer".to_owned() }),
        },
    };
    packed.into_iter().map(|(id, sighting, outgoing)| (id, sighting, outcome(outgoing))).collect()
}
