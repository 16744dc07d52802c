//! What a runner owes the ledger, on disk: the log of each attempt and, once it is over, the results of its
//! tests and its own.
//!
//! A folder per attempt; `result.json` appears whole or not at all. Must not know: brokers, processes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use messages::{AttemptNumber, Finished, JobId, MAX_TEST_PIECES, TestCase, TestSummary};
use reports::TestReport;

/// The longest `result.json` that is read back; one is far below it.
const MAX_RESULT_BYTES: u64 = 8 * 1024 * 1024;

/// The spool of one runner folder.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    root: PathBuf,
}

/// What a former life left.
pub(crate) struct Left {
    /// What it owes.
    pub(crate) results: Vec<(Entry, Finished)>,
    /// Attempts that died with it; some of their processes may have outlived both.
    pub(crate) died: Vec<(JobId, AttemptNumber)>,
}

/// The folder of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    folder: PathBuf,
}

impl Spool {
    /// Opens the spool. Attempts without a result are removed: their runner died with them, and a new
    /// life that does not list them makes them void.
    pub(crate) fn open(root: PathBuf) -> io::Result<(Self, Left)> {
        fs::create_dir_all(&root)?;
        let mut left = Left { results: Vec::new(), died: Vec::new() };
        for folder in fs::read_dir(&root)? {
            let entry = Entry { folder: folder?.path() };
            match entry.read() {
                Ok(finished) => left.results.push((entry, finished)),
                Err(cause) => {
                    if cause.kind() != io::ErrorKind::NotFound {
                        tracing::warn!(folder = %entry.folder.display(), %cause, "unreadable result removed");
                    }
                    left.died.extend(entry.attempt());
                    entry.remove();
                }
            }
        }
        Ok((Self { root }, left))
    }

    /// Makes the folder of an attempt. Where the disk refuses it, writing the log into it fails, which
    /// is looked at there.
    pub(crate) fn create(&self, job: JobId, attempt: AttemptNumber) -> Entry {
        let entry = self.entry(job, attempt);
        if let Err(cause) = fs::create_dir_all(&entry.folder) {
            tracing::error!(folder = %entry.folder.display(), %cause, "spool folder not made");
        }
        entry
    }

    /// Where the folder of an attempt is.
    pub(crate) fn entry(&self, job: JobId, attempt: AttemptNumber) -> Entry {
        Entry { folder: self.root.join(format!("{job}-{attempt}")) }
    }
}

/// So much must be free for a job to begin.
const ROOM: usize = 256 * 1024;

impl Spool {
    /// Writes as much as a small job needs, and takes it away again.
    pub(crate) fn trial(&self) -> io::Result<()> {
        let path = self.root.with_extension("trial");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; ROOM])?;
            file.sync_data()
        });
        fs::remove_file(&path)?;
        written
    }

    /// Whether the disk is as good as full for this user.
    pub(crate) fn is_without_room(&self) -> bool {
        let free = |disk: rustix::fs::StatVfs| disk.f_bavail.saturating_mul(disk.f_frsize);
        rustix::fs::statvfs(&self.root).is_ok_and(|disk| free(disk) < ROOM as u64)
    }
}

impl Entry {
    /// Where the log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Writes the result so that it survives the end of this process. [`Entry::sync`] makes it survive
    /// the end of the machine.
    pub(crate) fn write(&self, finished: &Finished) -> io::Result<()> {
        let beside = self.folder.join("result.json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(finished)?)?;
        fs::rename(&beside, self.result())
    }

    /// Writes the pieces of the tests' results. Before [`Entry::write`]: what the result speaks of is there.
    pub(crate) fn write_tests(&self, report: TestReport) -> io::Result<()> {
        for (number, cases) in reports::pieces(report.cases).into_iter().enumerate() {
            let piece = serde_json::to_vec(&(&report.summary, cases))?;
            fs::write(self.tests(u32::try_from(number).unwrap_or(u32::MAX)), piece)?;
        }
        Ok(())
    }

    /// How many pieces there are.
    pub(crate) fn count_tests(&self) -> u32 {
        (0..MAX_TEST_PIECES).find(|piece| !self.tests(*piece).exists()).unwrap_or(MAX_TEST_PIECES)
    }

    /// Reads a piece back.
    pub(crate) fn read_piece(&self, piece: u32) -> io::Result<(TestSummary, Vec<TestCase>)> {
        Ok(serde_json::from_slice(&fs::read(self.tests(piece))?)?)
    }

    fn tests(&self, piece: u32) -> PathBuf {
        self.folder.join(format!("tests-{piece}.json"))
    }

    /// Waits until result, log, tests and their names are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(self.log())?.sync_data()?;
        for piece in 0..self.count_tests() {
            File::open(self.tests(piece))?.sync_data()?;
        }
        File::open(self.result())?.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Forgets the attempt. A folder that cannot be removed is said and found again at the next start.
    pub(crate) fn remove(&self) {
        // The result first: without it a crash in between leaves nothing that would be sent.
        drop(fs::remove_file(self.result()));
        if let Err(cause) = remove_any(&self.folder)
            && cause.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.folder.display(), %cause, "spool folder not removed");
        }
    }

    fn attempt(&self) -> Option<(JobId, AttemptNumber)> {
        attempt_of(self.folder.file_name()?.to_str()?)
    }

    fn result(&self) -> PathBuf {
        self.folder.join("result.json")
    }

    fn read(&self) -> io::Result<Finished> {
        let path = self.result();
        if fs::metadata(&path)?.len() > MAX_RESULT_BYTES {
            return Err(io::Error::other("longer than any result"));
        }
        // Without its log a result cannot be completed, but its verdict still counts.
        decode(&fs::read(path)?)
    }
}

/// Reads a `result.json`.
pub(crate) fn decode(bytes: &[u8]) -> io::Result<Finished> {
    Ok(serde_json::from_slice(bytes)?)
}

/// Job and number in the name of an attempt's folder.
pub(crate) fn attempt_of(name: &str) -> Option<(JobId, AttemptNumber)> {
    let (job, attempt) = name.rsplit_once('-')?;
    Some((job.parse().ok()?, AttemptNumber(attempt.parse().ok()?)))
}

fn remove_any(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
