//! Logs as files: `<data>/logs/<first two digits>/<job>/<attempt>.log`, appended in order, never in the database.

use std::path::PathBuf;

use messages::{AttemptNumber, JobId};

use crate::LogError;

/// The logs of all attempts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    #[expect(dead_code, reason = "filled in with the functions")]
    root: PathBuf,
}

/// How much of a log is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Bytes without a gap from the start.
    pub length: u64,
}

impl Logs {
    /// Appends what is new of `bytes` at `offset`: bytes known already are passed over, and a chunk
    /// behind a gap is left out (the sender is asked to go on from [`LogState::length`]).
    pub async fn append(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<LogState, LogError> {
        let _ = (job, attempt, offset, bytes);
        todo!()
    }

    /// How much is here; 0 if nothing was ever written.
    pub async fn state(&self, job: JobId, attempt: AttemptNumber) -> Result<LogState, LogError> {
        let _ = (job, attempt);
        todo!()
    }

    /// Whether the log is here whole: length and SHA-256 agree. On a wrong hash the log is cut to 0, so
    /// that it is sent again.
    pub async fn complete(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        length: u64,
        sha256: &str,
    ) -> Result<bool, LogError> {
        let _ = (job, attempt, length, sha256);
        todo!()
    }

    /// At most `limit` bytes from `offset`.
    pub async fn read(
        &self,
        job: JobId,
        attempt: AttemptNumber,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, LogError> {
        let _ = (job, attempt, offset, limit);
        todo!()
    }
}
