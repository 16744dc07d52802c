//! The file whose lock is the leadership, and whose pulse tells a frozen leader from a living one.
//!
//! The lock goes with the leader's process, however that ends, so a successor leads at once. But a process that
//! is stopped keeps its lock. So the leader moves a number in the file on, and who waits watches it: when it
//! stands still for [`FROZEN`], by the watcher's own clock, another file takes the place of this one, locked by
//! the successor. What the frozen one still writes when it wakes up is refused by its epoch.
//! Must not know: the database.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::LedgerError;

/// So long a leader may be silent. Longer than it may trust itself ([`SURE`]), and than a broker keeps the
/// connection of a frozen process (two heartbeats of 5 s and a bit), so that it holds no messages any more.
pub(crate) const FROZEN: Duration = Duration::from_secs(15);
/// So long after its last renewal a leader may act without looking whether it still leads.
pub(crate) const SURE: Duration = Duration::from_secs(8);

/// The lock in the leader's hand.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Tells this leader's pulse from all others.
    name: Uuid,
    beats: u64,
}

/// What somebody who waits has seen of the leader.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Option<(Vec<u8>, Instant)>,
}

impl Lock {
    fn on(file: File) -> io::Result<Self> {
        let mut lock = Self { file, name: Uuid::new_v4(), beats: 0 };
        lock.beat()?;
        Ok(lock)
    }

    /// Shows that the leader lives. Always of the same length, so that a full disk does not matter.
    pub(crate) fn beat(&mut self) -> io::Result<()> {
        self.beats += 1;
        self.file.write_all_at(format!("{} {:020}\n", self.name.simple(), self.beats).as_bytes(), 0)
    }
}

impl Watch {
    /// Whether the leader has stood still for [`FROZEN`]. A pulse that cannot be read is as good as a beat.
    fn is_frozen(&mut self, pulse: Option<Vec<u8>>, now: Instant) -> bool {
        match (&self.seen, pulse) {
            (Some((before, since)), Some(pulse)) if *before == pulse => now.duration_since(*since) >= FROZEN,
            (_, pulse) => {
                self.seen = pulse.map(|pulse| (pulse, now));
                false
            }
        }
    }
}

/// The leader file of a ledger.
pub(crate) fn of(ledger: &Path) -> PathBuf {
    beside(ledger, ".leader")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Takes the lock if nobody has it, or if who has it is frozen. `None`: another one, in this process or
/// elsewhere, leads.
pub(crate) fn take(path: &Path, watch: &mut Watch) -> Result<Option<Lock>, LedgerError> {
    let said = |cause: io::Error| LedgerError::Unavailable { cause: format!("{}: {cause}", path.display()) };
    if let Some(file) = lock(path).map_err(said)? {
        return Lock::on(file).map(Some).map_err(said);
    }
    if !watch.is_frozen(fs::read(path).ok(), Instant::now()) {
        return Ok(None);
    }
    succeed(path, watch).map_err(said)
}

fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        // Replaced between the two calls: it is the lock of a leader that has a successor.
        Ok(()) if file.metadata()?.ino() != fs::metadata(path)?.ino() => Ok(None),
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(cause),
    }
}

/// Puts a locked file in the place of the frozen leader's. One watcher at a time, and the second one finds
/// the pulse of the first.
fn succeed(path: &Path, watch: &mut Watch) -> io::Result<Option<Lock>> {
    let Some(_turn) = lock(&beside(path, ".turn"))? else { return Ok(None) };
    if !watch.is_frozen(fs::read(path).ok(), Instant::now()) {
        return Ok(None);
    }
    let next = beside(path, ".next");
    // What a watcher left that died here is nobody's.
    drop(fs::remove_file(&next));
    let Some(file) = lock(&next)? else { return Ok(None) };
    let lock = Lock::on(file)?;
    fs::rename(&next, path)?;
    tracing::warn!(frozen_for = ?FROZEN, "the leader does not move any more; its place is taken");
    Ok(Some(lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_stands_still_is_succeeded_once_and_one_that_moves_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = of(&folder.path().join("ledger.db"));
        let mut frozen = take(&path, &mut Watch::default()).expect("asked").expect("nobody leads");
        let long_ago = Instant::now().checked_sub(FROZEN).expect("the machine runs for longer");
        let seen = || Watch { seen: Some((fs::read(&path).expect("read"), long_ago)) };
        let (mut early, mut one, mut two) = (Watch::default(), seen(), seen());
        assert!(take(&path, &mut early).expect("asked").is_none(), "seen only just now");
        let successor = take(&path, &mut one).expect("asked").expect("it is frozen");
        assert!(take(&path, &mut two).expect("asked").is_none(), "the successor's pulse is another one");
        assert!(take(&path, &mut seen()).expect("asked").is_some(), "who succeeded may be frozen as well");
        drop(successor);
        frozen.beat().expect("into a file that nobody reads any more");
        drop(frozen);

        let mut living = take(&path, &mut Watch::default()).expect("asked").expect("nobody leads");
        let mut watch = seen();
        living.beat().expect("written");
        assert!(take(&path, &mut watch).expect("asked").is_none(), "it has moved");
    }
}
