//! One repository's task: look at its tips, plan what is new, hand it to the desk; for ever.
//!
//! Whatever is wrong with one repository stays in its own task: it is told once, waited for with
//! growing pauses, and costs the others nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use git2::Repository;
use messages::{Incarnation, ObserverName};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::announce::Desk;
use crate::cursor::{Cursor, CursorFile};
use crate::describe::Announcer;
use crate::error::{Fault, Trouble};
use crate::file_watch::{FileWatch, FileWatches};
use crate::mirror::{Limits, Mirror, Objects};
use crate::post::Post;
use crate::resolve::{Location, Watched};
use crate::tips::{Patterns, TipReader, Tips};
use crate::walk::{self, Bounds, Move};

/// First pause after an error; it doubles, for remotes up to [`LONGEST_PAUSE`], for local repositories up
/// to their poll interval.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often a local repository is read that the system cannot watch (no inotify watches left).
const UNWATCHED_POLL: Duration = Duration::from_secs(2);
/// In a storm of changes (a push of thousands of refs) looks are so far apart; the first is at once.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// When to look again after a new folder appeared among the refs.
const SECOND_LOOK: Duration = Duration::from_millis(50);
/// Moves that wait for the desk. More wait in the repository itself, where they are safe.
const ROOM: usize = 4;

/// All that a repository's task needs.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) watched: Watched,
    pub(crate) observer: ObserverName,
    pub(crate) incarnation: Incarnation,
    pub(crate) data: PathBuf,
    pub(crate) patterns: Patterns,
    pub(crate) bounds: Bounds,
    pub(crate) poll: Duration,
    pub(crate) local_poll: Duration,
    pub(crate) announce_again: Duration,
    pub(crate) limits: Limits,
    pub(crate) broker: Broker,
    pub(crate) post: Post,
    pub(crate) files: Arc<FileWatches>,
    pub(crate) stop: CancellationToken,
}

impl Task {
    pub(crate) fn announcer(&self) -> Announcer {
        let (observer, incarnation) = (self.observer.clone(), self.incarnation);
        Announcer { observer, incarnation, repository: self.watched.source.clone() }
    }

    pub(crate) fn look(&self) -> Look {
        let mirror = match &self.watched.location {
            Location::Local(_) => None,
            Location::Remote(url) => Some(Mirror::new(&self.data, &self.watched.source.name, url.clone(), self.limits)),
        };
        let objects = match (&self.watched.location, &mirror) {
            (_, Some(mirror)) => mirror.objects.clone(),
            (Location::Local(path), _) => Objects::at(path.clone()),
            (Location::Remote(_), None) => Objects::at(PathBuf::new()),
        };
        Look { objects, mirror, reader: Some(TipReader::new(self.patterns.clone())), patterns: self.patterns.clone() }
    }

    /// Watches until stopped.
    pub(crate) async fn run(self) {
        let mut troubles = Troubles::new(&self);
        let file = CursorFile::of(&self.data, &self.watched.source.name);
        let cursor = loop {
            match file.read() {
                Ok(cursor) => break cursor,
                Err(cause) => {
                    let pause = troubles.met(&cause.into(), self.longest_pause());
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        };
        troubles.over();
        let look = self.look();
        let (moves, planned) = mpsc::channel(ROOM);
        let start = Some((file, cursor.clone().unwrap_or_default()));
        let desk = Desk::new(
            self.announcer(),
            look.objects.clone(),
            self.broker.clone(),
            &self.post,
            start,
            self.announce_again,
        );
        tokio::join!(desk.work(planned, &self.stop), self.watch(look, cursor, moves, troubles));
    }

    fn interval(&self) -> Duration {
        if matches!(self.watched.location, Location::Local(_)) { self.local_poll } else { self.poll }
    }

    fn longest_pause(&self) -> Duration {
        if matches!(self.watched.location, Location::Local(_)) { self.local_poll } else { self.poll.max(LONGEST_PAUSE) }
    }

    /// Looks, plans and hands on. `known` is what was planned so far; what is recorded is the desk's.
    async fn watch(
        &self,
        mut look: Look,
        known: Option<Cursor>,
        moves: mpsc::Sender<Vec<Move>>,
        mut troubles: Troubles,
    ) {
        let mut known = known.map(Arc::new);
        let mut file_watch = None;
        loop {
            let began = Instant::now();
            // Before the look, or a push between the two would wait for the poll.
            let watching = self.watch_files(&mut file_watch, &mut troubles).await;
            let looked = tokio::select! {
                () = self.stop.cancelled() => return,
                looked = look.plan(known.clone(), self.bounds) => looked,
            };
            let (planned, trouble) = match looked {
                Ok((planned, trouble)) => (planned, trouble),
                Err(trouble) => (Vec::new(), Some(trouble)),
            };
            // An empty repository is known from now on: what comes later is new.
            if known.is_none() && trouble.is_none() {
                known = Some(Arc::default());
            }
            if !planned.is_empty() {
                let updates = planned.iter().flat_map(|planned| planned.updates.iter().cloned());
                let cursor = Arc::make_mut(known.get_or_insert_default());
                updates.for_each(|update| cursor.apply(update));
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    sent = moves.send(planned) => if sent.is_err() { return },
                }
            }
            let pause = match &trouble {
                Some(trouble) => {
                    file_watch = file_watch.filter(|_| !matches!(trouble, Trouble::Open { .. }));
                    let pause = troubles.met(trouble, self.longest_pause());
                    // The trouble of one ref must not make the others wait.
                    if matches!(trouble, Trouble::Walk { .. }) { pause.min(self.interval()) } else { pause }
                }
                None => {
                    troubles.over();
                    jittered(if watching { self.interval() } else { self.interval().min(UNWATCHED_POLL) })
                }
            };
            if !self.rest(&mut file_watch, pause, began).await {
                return;
            }
        }
    }

    /// Waits for a reason to look again; false when stopped.
    async fn rest(&self, file_watch: &mut Option<FileWatch>, pause: Duration, began: Instant) -> bool {
        let end = Instant::now() + pause;
        let rung = async {
            match &*file_watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        let ring = tokio::select! {
            () = self.stop.cancelled() => return false,
            () = tokio::time::sleep_until(end) => return true,
            ring = rung => ring,
        };
        if began.elapsed() < BETWEEN_LOOKS * 4 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        if ring.lost {
            *file_watch = None;
        }
        if ring.new_folder || ring.lost {
            let stop = self.stop.clone();
            // Not in place of the look, but after it: the first one may be early, never the only one.
            if let Some(bell) = file_watch.as_ref().map(FileWatch::again) {
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(SECOND_LOOK) => bell(),
                    }
                });
            }
        }
        true
    }

    /// Makes sure that a local repository is watched by the system; false if it cannot be.
    async fn watch_files(&self, file_watch: &mut Option<FileWatch>, troubles: &mut Troubles) -> bool {
        let Location::Local(path) = &self.watched.location else { return true };
        if file_watch.is_some() {
            return true;
        }
        let (files, path) = (Arc::clone(&self.files), path.clone());
        let watch = tokio::task::spawn_blocking(move || {
            // A repository that cannot be opened is told about by the look that follows.
            let repository = Repository::open(path).ok()?;
            Some(files.watch(repository.commondir()))
        });
        let Ok(Some(watch)) = watch.await else { return true };
        match watch {
            Ok(watch) => {
                *file_watch = Some(watch);
                true
            }
            Err(cause) => {
                troubles.unwatched(&cause);
                false
            }
        }
    }
}

/// One repository as it is looked at, again and again.
pub(crate) struct Look {
    pub(crate) objects: Objects,
    mirror: Option<Mirror>,
    reader: Option<TipReader>,
    patterns: Patterns,
}

impl Look {
    /// The moves since `known`. The trouble beside them is that of single refs.
    pub(crate) async fn plan(
        &mut self,
        known: Option<Arc<Cursor>>,
        bounds: Bounds,
    ) -> Result<(Vec<Move>, Option<Trouble>), Trouble> {
        if let Some(mirror) = &mut self.mirror {
            mirror.refresh().await?;
        }
        let mut reader = self.reader.take().unwrap_or_else(|| TipReader::new(self.patterns.clone()));
        let path = self.objects.path.clone();
        let held = Arc::clone(&self.objects.gate).read_owned().await;
        let looked = tokio::task::spawn_blocking(move || {
            let _held = held;
            let planned = look_once(&path, &mut reader, known.as_deref(), bounds);
            (reader, planned)
        });
        let (reader, planned) = looked.await?;
        self.reader = Some(reader);
        let doubt = match &planned {
            Ok((_, trouble)) => trouble.as_ref(),
            Err(trouble) => Some(trouble),
        };
        match &mut self.mirror {
            Some(mirror) if doubt.is_some_and(Trouble::doubts_objects) => mirror.distrust(),
            Some(mirror) => mirror.trust(),
            None => {}
        }
        planned
    }
}

fn look_once(
    path: &std::path::Path,
    reader: &mut TipReader,
    known: Option<&Cursor>,
    bounds: Bounds,
) -> Result<(Vec<Move>, Option<Trouble>), Trouble> {
    let repository = Repository::open(path).map_err(|cause| Trouble::opening(path, cause))?;
    let tips: Tips = reader.read(&repository, known)?;
    let (moves, mut troubles) = walk::plan(&repository, known, &tips, bounds);
    Ok((moves, if troubles.is_empty() { None } else { Some(troubles.swap_remove(0)) }))
}

/// The state of one repository's trouble: told once, with growing pauses.
struct Troubles {
    repository: String,
    fault: Fault,
    unwatched: Fault,
    pause: Duration,
}

impl Troubles {
    fn new(task: &Task) -> Self {
        let repository = task.watched.source.name.to_string();
        Self { repository, fault: Fault::default(), unwatched: Fault::default(), pause: SHORTEST_PAUSE }
    }

    /// Tells what is new and returns how long to wait.
    fn met(&mut self, trouble: &Trouble, longest: Duration) -> Duration {
        if self.fault.set(trouble.to_string()) {
            warn!(repository = self.repository, %trouble, "repository cannot be read now; trying on");
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(longest.max(SHORTEST_PAUSE));
        jittered(pause)
    }

    fn over(&mut self) {
        self.pause = SHORTEST_PAUSE;
        if let Some(after) = self.fault.clear() {
            info!(repository = self.repository, ?after, "repository is readable again");
        }
    }

    fn unwatched(&mut self, cause: &notify::Error) {
        if self.unwatched.set(cause.to_string()) {
            warn!(repository = self.repository, %cause, "files cannot be watched, so the repository is polled");
        }
    }
}

/// Spreads the polls, so that many repositories do not ask one server in the same moment.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.8..1.2))
}
