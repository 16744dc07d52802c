//! Sends one attempt's log to the dispatcher while it is being written.
//!
//! Reads the spooled file and never the job, so a slow broker only makes sending slow. Chunks are
//! addressed by offset: a repeat is harmless, a gap is asked for. Must not know: processes, results.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, Exchange, Outgoing};
use messages::{JobId, LogChunk, RunnerName};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::hands::{Kept, Progress, Ticket};

/// The size of a chunk: half of what a message may carry.
const CHUNK_BYTES: u64 = 128 * 1024;
/// How many chunks are on their way at once; bounds the memory of one attempt.
const CHUNKS_IN_FLIGHT: usize = 8;
/// How long a piece smaller than a chunk waits for more. A reader sees a line within 50 ms.
const GATHER: Duration = Duration::from_millis(25);

/// Where a log's sending stands; shared with the beat.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    sent: AtomicU64,
    again: Mutex<Again>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Again {
    from: Option<u64>,
    /// A repeat is under way until sending has come here: further requests are about the same gap.
    until: u64,
}

impl Cursor {
    /// Bytes sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends again from `from` on, unless that is being done already.
    pub(crate) fn resend(&self, from: u64) {
        let sent = self.sent();
        let mut again = self.lock();
        if from < sent && sent >= again.until {
            *again = Again { from: Some(from), until: sent };
            self.wake.notify_one();
        }
    }

    fn take(&self) -> u64 {
        let mut again = self.lock();
        if let Some(from) = again.from.take() {
            self.sent.store(from, Ordering::Relaxed);
        }
        self.sent()
    }

    fn advance(&self, from: u64, by: u64) {
        // Not over a request that came meanwhile.
        let again = self.lock();
        if again.from.is_none() {
            self.sent.store(from + by, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Again> {
        self.again.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One log on its way.
pub(crate) struct Stream {
    pub(crate) broker: Broker,
    pub(crate) runner: RunnerName,
    pub(crate) job: JobId,
    pub(crate) ticket: Ticket,
    pub(crate) kept: Arc<dyn Kept>,
    pub(crate) progress: watch::Receiver<Progress>,
}

impl Stream {
    /// Sends until the attempt is forgotten.
    pub(crate) async fn run(mut self, cursor: &Cursor, forgotten: CancellationToken) {
        let all = async {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
            loop {
                match self.send_more(cursor).await {
                    Ok(()) => backoff.reset(),
                    Err(why) => {
                        tracing::debug!(job = %self.job, why, "log waits");
                        backoff.wait().await;
                    }
                }
            }
        };
        forgotten.run_until_cancelled(all).await;
    }

    /// Waits until there is something to send, and sends some of it.
    async fn send_more(&mut self, cursor: &Cursor) -> Result<(), String> {
        let from = cursor.take();
        let mut seen = *self.progress.borrow_and_update();
        if seen.length <= from {
            tokio::select! {
                biased;
                changed = self.progress.changed() => {
                    // The writer is gone: only a request for a repeat can bring work now.
                    if changed.is_err() {
                        cursor.wake.notified().await;
                    }
                }
                () = cursor.wake.notified() => {}
            }
            return Ok(());
        }
        if !seen.complete && seen.length - from < CHUNK_BYTES {
            drop(tokio::time::timeout(GATHER, self.progress.wait_for(|now| now.complete)).await);
            seen = *self.progress.borrow_and_update();
        }
        let chunks = self.read(from, seen.length).map_err(|cause| cause.to_string())?;
        let sizes: Vec<u64> = chunks.iter().map(|chunk| chunk.bytes.len() as u64).collect();
        let mut outgoing = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let envelope = chunk.into_envelope().map_err(|cause| cause.to_string())?;
            outgoing.push(Outgoing::new(Exchange::Logs, self.runner.as_str(), envelope));
        }
        let mut at = from;
        for (result, size) in self.broker.publish_all(outgoing).await.into_iter().zip(sizes) {
            result.map_err(|cause| cause.to_string())?;
            cursor.advance(at, size);
            at += size;
        }
        Ok(())
    }

    fn read(&self, from: u64, length: u64) -> std::io::Result<Vec<LogChunk>> {
        let mut chunks = Vec::new();
        let mut offset = from;
        while offset < length && chunks.len() < CHUNKS_IN_FLIGHT {
            let size = CHUNK_BYTES.min(length - offset);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            self.kept.read_log(offset, &mut bytes)?;
            let Ticket { attempt, token } = self.ticket.clone();
            chunks.push(LogChunk { job: self.job, attempt, token, offset, bytes });
            offset += size;
        }
        Ok(chunks)
    }
}
