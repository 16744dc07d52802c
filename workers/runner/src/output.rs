//! The log of one attempt on disk: written once, in order, up to a limit, with its length and hash.
//!
//! The file is the buffer between the job and the broker, so neither waits for the other. Must not
//! know: who reads it (`stream.rs`), processes, brokers.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::hands::Progress;

/// How much is read from a job at once.
const READ_BYTES: usize = 128 * 1024;

/// The writing end of a log.
pub(crate) struct Log {
    file: Option<File>,
    hash: Sha256,
    length: u64,
    limit: u64,
    discarded: u64,
    progress: watch::Sender<Progress>,
    failed: Option<io::Error>,
}

impl Log {
    /// Makes the file. `limit` is for what the job writes; the marker comes on top. `progress` is told how
    /// far it has come. Never fails either: see [`Log::write`].
    pub(crate) fn create(path: &Path, limit: u64, progress: watch::Sender<Progress>) -> Self {
        let (file, failed) = match File::create(path) {
            Ok(file) => (Some(file), None),
            Err(cause) => (None, Some(cause)),
        };
        Self { file, hash: Sha256::new(), length: 0, limit, discarded: 0, progress, failed }
    }

    /// Takes bytes as they are. Never fails: what the disk refuses is remembered for [`Log::finish`],
    /// and the job goes on.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.discarded > 0 {
            self.discarded += bytes.len() as u64;
            return;
        }
        let room = usize::try_from(self.limit.saturating_sub(self.length)).unwrap_or(usize::MAX);
        let (kept, lost) = bytes.split_at(room.min(bytes.len()));
        self.append(kept);
        if !lost.is_empty() {
            let limit = self.limit;
            self.append(
                format!("\n[thump: the log is cut here, at its limit of {limit} bytes; the job goes on]\n").as_bytes(),
            );
            self.discarded = lost.len() as u64;
        }
    }

    /// A line of ours, on a line of its own.
    pub(crate) fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Closes the log and gives its length, its SHA-256 in hexadecimal, and the first failure to write.
    pub(crate) fn finish(mut self) -> (u64, String, Option<io::Error>) {
        if self.discarded > 0 {
            let discarded = self.discarded;
            self.append(format!("[thump: {discarded} more bytes were not kept]\n").as_bytes());
        }
        self.progress.send_replace(Progress { length: self.length, complete: true });
        let hash = self.hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        });
        (self.length, hash, self.failed)
    }

    fn append(&mut self, bytes: &[u8]) {
        let Some(file) = self.file.as_mut().filter(|_| self.failed.is_none() && !bytes.is_empty()) else { return };
        if let Err(cause) = file.write_all(bytes) {
            self.failed = Some(cause);
            return;
        }
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        self.progress.send_replace(Progress { length: self.length, complete: false });
    }

    /// Writes down what comes out of `pipe` until its other end is closed everywhere, or until `dead`
    /// says that the job's tree is gone: then what is in the pipe is taken and nothing is waited for,
    /// since a process outside the tree may have been handed the other end.
    /// Each time that something comes, `heard` is told.
    pub(crate) async fn fill_from(
        &mut self,
        pipe: OwnedFd,
        dead: CancellationToken,
        heard: watch::Sender<()>,
    ) -> io::Result<()> {
        // A large pipe lets a job run on while the disk is slow; the system may allow less.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, 1024 * 1024);
        let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = tokio::select! {
                biased;
                read = pipe.read(&mut buffer) => read?,
                () = dead.cancelled() => break,
            };
            if read == 0 {
                return Ok(());
            }
            heard.send_replace(());
            self.write(&buffer[..read]);
        }
        while let Ok(read) = pipe.try_read(&mut buffer)
            && read > 0
        {
            self.write(&buffer[..read]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limit: u64, pieces: &[&[u8]]) -> (Vec<u8>, u64, String) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("log");
        let mut log = Log::create(&path, limit, watch::Sender::default());
        for piece in pieces {
            log.write(piece);
        }
        let (length, hash, failed) = log.finish();
        assert!(failed.is_none());
        (std::fs::read(path).expect("reads"), length, hash)
    }

    #[test]
    fn bytes_pass_untouched_and_are_hashed() {
        let (bytes, length, hash) = written(100, &[b"a\0\xff", b"bc"]);
        assert_eq!(bytes, b"a\0\xffbc");
        assert_eq!(length, 5);
        assert_eq!(hash, "fc2834f943c457f99868298550f3561a518ef543876b1f35eb146ddff8a40b2c");
    }

    #[test]
    fn a_log_at_its_limit_says_so_and_counts_the_rest() {
        let (bytes, length, _) = written(4, &[b"abc", b"def", b"ghi"]);
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("abcd\n[thump: the log is cut here, at its limit of 4 bytes"), "{text}");
        assert!(text.ends_with("[thump: 5 more bytes were not kept]\n"), "{text}");
        assert_eq!(length, text.len() as u64);
        let (bytes, ..) = written(4, &[b"abcd"]);
        assert_eq!(bytes, b"abcd", "exactly at the limit nothing is cut");
    }
}
