//! The one writer: what gathers while a transaction is being saved goes into the next one together.
//!
//! A commit with full sync costs about as much for one write as for a hundred. Nobody waits for a
//! clock: an idle ledger saves a single write at once. A write that fails is taken back alone.

use std::future::Future;
use std::mem;
use std::pin::Pin;

use seams::crash::{self, Point};
use sqlx::ConnectOptions as _;
use tokio::sync::{mpsc, oneshot, watch};

#[cfg(feature = "simulation")]
use crate::simulated::at_once;
use crate::sqlite::{Connection, SameFile};
use crate::transaction::Tx;
use crate::{Epoch, LedgerError};

/// How many writes may wait; beyond it the callers wait.
const ROOM: usize = 1024;
/// How many writes share a commit at most, so that the first of them need not wait long.
const TOGETHER: usize = 256;

/// Something to be written. It may run inside a transaction with others, behind a savepoint.
pub(crate) trait Write: Send + 'static {
    /// What the caller gets once it is saved.
    type Answer: Send + 'static;

    /// Does it. An error takes back all that this write did.
    fn run(&mut self, tx: &mut Tx) -> impl Future<Output = Result<Self::Answer, LedgerError>> + Send;
}

/// The way to the writer. Cheap to clone; the writer ends with the last one.
#[derive(Clone)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Box<dyn Request>>,
    changes: watch::Receiver<i64>,
}

impl Writer {
    /// Starts the writer's task on `connection`.
    pub(crate) fn start(connection: Connection, file: SameFile, last_change: i64) -> Self {
        let (requests, queue) = mpsc::channel(ROOM);
        let (committed, changes) = watch::channel(last_change);
        tokio::spawn(work(Tx::new(connection, last_change), file, queue, committed));
        Self { requests, changes }
    }

    /// The number of the last committed change.
    pub(crate) fn changes(&self) -> watch::Receiver<i64> {
        self.changes.clone()
    }

    /// Writes and returns when it is saved. `epoch`: only as this leader.
    pub(crate) async fn submit<W: Write>(&self, epoch: Option<Epoch>, write: W) -> Result<W::Answer, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || LedgerError::Unavailable { cause: "its writer has stopped".into() };
        let request = Box::new(Pending { epoch, write, answer: None, reply });
        self.requests.send(request).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

struct Pending<W: Write> {
    epoch: Option<Epoch>,
    write: W,
    answer: Option<W::Answer>,
    reply: oneshot::Sender<Result<W::Answer, LedgerError>>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send + 'a>>;

/// A [`Pending`] whose kind is forgotten, so that different ones can share a queue.
trait Request: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Running<'a>;
    fn answer(self: Box<Self>, saved: Result<(), LedgerError>);
}

impl<W: Write> Request for Pending<W> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Running<'a> {
        Box::pin(async move {
            tx.check_epoch(self.epoch)?;
            self.answer = Some(self.write.run(tx).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, saved: Result<(), LedgerError>) {
        let missing = || LedgerError::Inconsistent { what: "a write without an answer".into() };
        let Self { answer, reply, .. } = *self;
        if reply.send(saved.and_then(|()| answer.ok_or_else(missing))).is_err() {
            tracing::debug!("nobody waits for the answer of a write any more");
        }
    }
}

async fn work(mut tx: Tx, file: SameFile, mut queue: mpsc::Receiver<Box<dyn Request>>, committed: watch::Sender<i64>) {
    let mut together = Vec::new();
    // Each fault is told once and not for every write that meets it.
    let mut told = None;
    while queue.recv_many(&mut together, TOGETHER).await > 0 {
        let outcome = match file.check() {
            Ok(()) => at_once(commit(&mut tx, &mut together)).await,
            Err(cause) => Err(cause),
        };
        let outcomes = match outcome {
            Ok(Some(outcomes)) => {
                if told.take().is_some() {
                    tracing::info!("the ledger takes writes again");
                }
                outcomes
            }
            // A simulated death: nobody ever hears of these writes, saved or not.
            Ok(None) => {
                while queue.recv().await.is_some() {}
                break;
            }
            Err(cause) => {
                let fault = cause.to_string();
                if told.as_ref() != Some(&fault) {
                    tracing::warn!(%cause, writes = together.len(), "ledger transaction failed");
                    told = Some(fault);
                }
                at_once(recover(&mut tx, &file)).await;
                together.iter().map(|_| Err(cause.clone())).collect()
            }
        };
        // Readers that follow the feed wake before the writers go on: both see what is saved.
        committed.send_if_modified(|last| mem::replace(last, tx.last_change()) != tx.last_change());
        for (request, outcome) in together.drain(..).zip(outcomes) {
            request.answer(outcome);
        }
    }
    #[cfg(feature = "simulation")]
    crate::simulated::leave_writer(file.path(), tx.conn);
}

/// Waits for SQLite as for anything else. (In a simulation: on the spot.)
#[cfg(not(feature = "simulation"))]
async fn at_once<T>(call: impl Future<Output = T>) -> T {
    call.await
}

type Outcomes = Vec<Result<(), LedgerError>>;

/// One transaction. An error concerns every request in it: nothing is saved. `None`: the process dies here.
async fn commit(tx: &mut Tx, together: &mut [Box<dyn Request>]) -> Result<Option<Outcomes>, LedgerError> {
    tx.begin().await?;
    let mut outcomes = Vec::with_capacity(together.len());
    let alone = together.len() == 1;
    for request in together.iter_mut() {
        if !alone {
            tx.savepoint().await?;
        }
        match request.run(tx).await {
            Ok(()) => {
                tx.keep();
                outcomes.push(Ok(()));
            }
            // Disk full, lock, I/O, damage: SQLite may have ended the whole transaction already.
            Err(cause) if cause.concerns_the_file() => return Err(cause),
            Err(cause) if alone => {
                tx.rollback().await?;
                return Ok(Some(vec![Err(cause)]));
            }
            Err(cause) => {
                tx.take_back().await?;
                outcomes.push(Err(cause));
            }
        }
    }
    if crash::here(Point::BeforeCommit) {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.commit().await?;
    if crash::here(Point::AfterCommit) {
        return Ok(None);
    }
    Ok(Some(outcomes))
}

/// Makes the connection ready for the next transaction.
async fn recover(tx: &mut Tx, file: &SameFile) {
    if tx.rollback().await.is_ok() {
        return;
    }
    match file.options().connect().await {
        Ok(connection) => tx.reconnect(connection),
        Err(cause) => tracing::warn!(%cause, "ledger connection lost"),
    }
}

#[cfg(test)]
mod tests;
