//! Logs as files: `<data>/logs/<last two digits of the job>/<job>/<attempt>.log`, appended in order, never
//! in the database.
//!
//! The last digits spread over the folders; the first ones follow the clock and would not. A file is
//! opened per call and not kept: that costs microseconds, and nothing has to be closed, bounded or
//! reopened after a fault. Nothing is synced: until the result is recorded the runner has the whole
//! log, and [`Logs::complete`] tells whether ours is the same. Must not know: what a line is.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::{AttemptNumber, JobId};
use sha2::{Digest, Sha256};

use crate::LogError;

/// How many locks the logs share. Two logs that meet on one only wait for each other's append.
const LOCKS: usize = 64;
/// How much is read at once to compute a hash.
const BLOCK: usize = 128 * 1024;

/// The logs of all attempts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    root: PathBuf,
    /// An append looks at the length and writes behind it: nobody else may do so in between.
    locks: Arc<[Mutex<()>]>,
}

/// How much of a log is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Bytes without a gap from the start.
    pub length: u64,
}

impl Logs {
    /// Uses (and creates) the folder `root`.
    pub(crate) fn open(root: &Path) -> Result<Self, LogError> {
        fs::create_dir_all(root).map_err(|cause| LogError { path: root.to_owned(), cause })?;
        Ok(Self { root: root.to_owned(), locks: (0..LOCKS).map(|_| Mutex::default()).collect() })
    }

    /// Appends what is new of `bytes` at `offset`: bytes known already are passed over, and a chunk
    /// behind a gap is left out (the sender is asked to go on from [`LogState::length`]).
    pub async fn append(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<LogState, LogError> {
        self.on(job, attempt, move |log| log.append(offset, &bytes)).await
    }

    /// How much is here; 0 if nothing was ever written.
    pub async fn state(&self, job: JobId, attempt: AttemptNumber) -> Result<LogState, LogError> {
        self.on(job, attempt, |log| Ok(LogState { length: log.length()? })).await
    }

    /// Whether the log is here whole: length and SHA-256 agree. On a wrong hash, or when more is here
    /// than there should be, the log is cut to 0, so that it is sent again.
    pub async fn complete(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        length: u64,
        sha256: &str,
    ) -> Result<bool, LogError> {
        let sha256 = sha256.to_ascii_lowercase();
        self.on(job, attempt, move |log| log.complete(length, &sha256)).await
    }

    /// At most `limit` bytes from `offset`; fewer only at the end of what is here.
    pub async fn read(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, LogError> {
        self.on(job, attempt, move |log| log.read(offset, limit)).await
    }

    /// Files block; the caller's thread must not.
    async fn on<T: Send + 'static>(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        work: impl FnOnce(&OneLog) -> io::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let log = self.one(job, attempt);
        let path = log.path.clone();
        let outcome = seams::chance::blocking(move || work(&log)).await;
        outcome.map_err(io::Error::other).flatten().map_err(|cause| LogError { path, cause })
    }

    /// The path is made of a UUID and a number only: nothing from outside gets into it.
    fn one(&self, job: JobId, attempt: AttemptNumber) -> OneLog {
        let name = job.to_string();
        let path = self.root.join(&name[name.len() - 2..]).join(&name).join(format!("{attempt}.log"));
        let mut hasher = DefaultHasher::new();
        (job, attempt).hash(&mut hasher);
        OneLog { path, locks: Arc::clone(&self.locks), lock: (hasher.finish() as usize) % LOCKS }
    }
}

struct OneLog {
    path: PathBuf,
    locks: Arc<[Mutex<()>]>,
    lock: usize,
}

impl OneLog {
    fn alone(&self) -> MutexGuard<'_, ()> {
        // The lock guards nothing that a panic could leave half done: the file's length is the state.
        self.locks[self.lock].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn length(&self) -> io::Result<u64> {
        match fs::metadata(&self.path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
            metadata => Ok(metadata?.len()),
        }
    }

    fn append(&self, offset: u64, bytes: &[u8]) -> io::Result<LogState> {
        let _alone = self.alone();
        let length = self.length()?;
        let known = match length.checked_sub(offset) {
            // Behind a gap, or nothing new in it.
            None => return Ok(LogState { length }),
            Some(known) if known >= bytes.len() as u64 => return Ok(LogState { length }),
            Some(known) => known as usize,
        };
        // Should the disk be full half-way, what was written is still the log's beginning.
        self.open_to_write()?.write_all_at(&bytes[known..], length)?;
        Ok(LogState { length: offset + bytes.len() as u64 })
    }

    fn open_to_write(&self) -> io::Result<File> {
        let open = || File::options().create(true).truncate(false).write(true).open(&self.path);
        match open() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                open()
            }
            file => file,
        }
    }

    fn complete(&self, length: u64, sha256: &str) -> io::Result<bool> {
        let here = self.length()?;
        if here < length {
            return Ok(false);
        }
        // Hashed without the lock: a long log must not stop the appends of others.
        if here == length && self.sha256(length)? == sha256 {
            return Ok(true);
        }
        let _alone = self.alone();
        if self.length()? == here && here > 0 {
            File::options().write(true).open(&self.path)?.set_len(0)?;
        }
        Ok(false)
    }

    fn sha256(&self, length: u64) -> io::Result<String> {
        let mut hash = Sha256::new();
        if length > 0 {
            let mut file = File::open(&self.path)?.take(length);
            let mut block = vec![0; BLOCK];
            loop {
                match file.read(&mut block)? {
                    0 => break,
                    read => hash.update(&block[..read]),
                }
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn read(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let file = match File::open(&self.path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let rest = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; limit.min(usize::try_from(rest).unwrap_or(usize::MAX))];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }
}
