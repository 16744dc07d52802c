//! Simulated hands: jobs that take as long and end as their seed says, and a spool that outlives a crash.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use messages::{AttemptNumber, ErroredKind, ErroredReason, Finished, Job, JobId, Outcome};
use runner::{Ended, Hands, Kept, Moment, Prepared, Progress, StopWhy, Ticket};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use crate::dice::Dice;
use crate::truth::{Key, Truth};

/// How an exclusive attempt ends that heard nothing from the dispatcher.
pub const CUT_OFF: &str = "the dispatcher was not heard";

/// What lies on one runner's disk.
#[derive(Clone, Default)]
pub struct Spool(Arc<Mutex<BTreeMap<Key, Left>>>);

#[derive(Default)]
struct Left {
    log: Vec<u8>,
    result: Option<Finished>,
}

impl Spool {
    fn get(&self) -> MutexGuard<'_, BTreeMap<Key, Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_empty(&self) -> bool {
        self.get().is_empty()
    }

    /// The disk is lost.
    pub fn wipe(&self) {
        self.get().clear();
    }

    /// What the next life finds. What has no result died with its runner.
    pub fn owed(&self, truth: &Truth) -> Vec<(Arc<dyn Kept>, Finished)> {
        let mut left = self.get();
        left.retain(|_, entry| entry.result.is_some());
        let kept =
            |key: &Key| Arc::new(Entry { spool: self.clone(), key: *key, truth: truth.clone() }) as Arc<dyn Kept>;
        left.iter().filter_map(|(key, entry)| Some((kept(key), entry.result.clone()?))).collect()
    }
}

/// One life's hands.
pub struct Simulated {
    pub seed: u64,
    pub runner: String,
    pub life: u64,
    pub spool: Spool,
    pub truth: Truth,
}

struct Entry {
    spool: Spool,
    key: Key,
    truth: Truth,
}

struct Ready {
    seed: u64,
    runner: String,
    life: u64,
    spool: Spool,
    truth: Truth,
}

/// Tells of a run that is dropped on its way.
struct Alive(Truth, Key);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.get().killed(self.1);
    }
}

impl Hands for Simulated {
    fn prepare(&self, _: &Job) -> Box<dyn Prepared> {
        Box::new(Ready {
            seed: self.seed,
            runner: self.runner.clone(),
            life: self.life,
            spool: self.spool.clone(),
            truth: self.truth.clone(),
        })
    }

    fn keep(&self, job: JobId, attempt: AttemptNumber) -> Arc<dyn Kept> {
        let key = (job, attempt.0);
        self.spool.get().insert(key, Left::default());
        Arc::new(Entry { spool: self.spool.clone(), key, truth: self.truth.clone() })
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

impl Prepared for Ready {
    fn run<'a>(
        self: Box<Self>,
        job: &'a Job,
        ticket: &'a Ticket,
        progress: watch::Sender<Progress>,
        mut stop: watch::Receiver<Option<StopWhy>>,
        leash: Option<watch::Receiver<Moment>>,
    ) -> BoxFuture<'a, (Ended, BoxFuture<'static, ()>)> {
        async move {
            let key = (job.id, ticket.attempt.0);
            self.truth.get().begin(key, &self.runner, self.life, job.spec.exclusive);
            let alive = Alive(self.truth.clone(), key);
            let (length, mut outcome) = script(self.seed, job, ticket.attempt.0);
            let say = |line: &str, complete: bool| {
                let mut left = self.spool.get();
                let log = &mut left.entry(key).or_default().log;
                log.extend_from_slice(line.as_bytes());
                progress.send_replace(Progress { length: log.len() as u64, complete });
            };
            let work = async {
                say(&format!("{} attempt {} begins\n", job.name, ticket.attempt), false);
                sleep(length / 2).await;
                say("half of it\n", false);
                sleep(length / 2).await;
                say("done\n", false);
            };
            let mut stopped = None;
            tokio::select! {
                biased;
                () = work => {}
                () = snaps(leash) => outcome = out_of_reach(),
                why = async { stop.wait_for(Option::is_some).await.map(|why| *why).ok().flatten() } => {
                    stopped = why;
                    outcome = Outcome::Cancelled;
                    sleep(Duration::from_millis(50)).await;
                }
            }
            say("", true);
            let (log_length, log_sha256) = {
                let left = self.spool.get();
                let log = left.get(&key).map(|entry| entry.log.clone()).unwrap_or_default();
                let hash: String = Sha256::digest(&log).iter().map(|byte| format!("{byte:02x}")).collect();
                (log.len() as u64, hash)
            };
            self.truth.get().end(key, &outcome, stopped);
            drop(alive);
            let ended = Ended { outcome, steps: Vec::new(), stopped, log_length, log_sha256 };
            (ended, std::future::ready(()).boxed())
        }
        .boxed()
    }

    fn discard(self: Box<Self>) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

/// When an exclusive attempt may run on no longer.
async fn snaps(leash: Option<watch::Receiver<Moment>>) {
    let Some(mut leash) = leash else { return std::future::pending().await };
    loop {
        let until = leash.borrow_and_update().instant();
        tokio::select! {
            biased;
            Ok(()) = leash.changed() => {}
            () = sleep_until(until) => return,
        }
    }
}

fn out_of_reach() -> Outcome {
    let reason = ErroredReason { kind: ErroredKind::CutOff, detail: CUT_OFF.to_owned() };
    Outcome::Errored { reason, worth_retrying: true }
}

/// How long an attempt takes and how it ends. Each attempt has its own fate, so a verdict tells whose it is.
fn script(seed: u64, job: &Job, attempt: u32) -> (Duration, Outcome) {
    let mut dice = Dice::of(seed, &[job.commit.as_str(), &job.name, &attempt.to_string()]);
    let length = match dice.below(10) {
        0..5 => dice.millis(0, 500),
        5..9 => dice.millis(500, 9_000),
        _ => dice.millis(9_000, 25_000),
    };
    let outcome = match dice.below(20) {
        0..9 => Outcome::Passed,
        9..16 => Outcome::Failed,
        16..18 => Outcome::TimedOut { silence_seconds: None },
        _ => Outcome::Errored {
            reason: ErroredReason { kind: ErroredKind::Host, detail: "no space".to_owned() },
            worth_retrying: true,
        },
    };
    (length, outcome)
}

impl Kept for Entry {
    fn log_length(&self) -> u64 {
        self.spool.get().get(&self.key).map_or(0, |entry| entry.log.len() as u64)
    }

    fn read_log(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let left = self.spool.get();
        let log = &left.get(&self.key).ok_or(io::ErrorKind::NotFound)?.log;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = from.checked_add(bytes.len()).and_then(|to| log.get(from..to));
        bytes.copy_from_slice(piece.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn keep_result(&self, finished: Finished) -> BoxFuture<'static, io::Result<()>> {
        let (spool, key) = (self.spool.clone(), self.key);
        async move {
            // Time enough to die before it.
            sleep(Duration::from_millis(1)).await;
            if let Some(entry) = spool.get().get_mut(&key) {
                entry.result = Some(finished);
            }
            Ok(())
        }
        .boxed()
    }

    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        sleep(Duration::from_millis(3)).map(Ok).boxed()
    }

    fn remove(&self) -> BoxFuture<'static, ()> {
        let (spool, key, truth) = (self.spool.clone(), self.key, self.truth.clone());
        async move {
            truth.get().forgotten(key);
            spool.get().remove(&key);
        }
        .boxed()
    }
}
