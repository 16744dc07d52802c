//! What all tasks of a runner share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::{Broker, Delivery};
use messages::{Birth, Incarnation, JobId, RunnerName};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Settings;
use crate::hands::{Hands, Kept, StopWhy};
use crate::holdings::Holdings;
use crate::leash::{Moment, Sent};
use crate::quarantine::Quarantine;
use crate::stream::Cursor;

/// How long the last workspaces may take to go when the runner leaves.
const TIDY_LIMIT: Duration = Duration::from_secs(5);

/// One runner's life.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) name: RunnerName,
    pub(crate) incarnation: Incarnation,
    pub(crate) birth: Birth,
    pub(crate) broker: Broker,
    pub(crate) hands: Arc<dyn Hands>,
    /// One permit per slot.
    pub(crate) slots: Arc<Semaphore>,
    /// Something is worth a beat before its time.
    pub(crate) beat_now: Notify,
    /// Something was forgotten: a drain may be over.
    pub(crate) changed: Notify,
    pub(crate) draining: AtomicBool,
    /// Whether this machine may have jobs.
    pub(crate) quarantine: Quarantine,
    /// Ends with [`crate::run`].
    pub(crate) life: CancellationToken,
    leases: TaskTracker,
    holdings: Mutex<Holdings<Delivery>>,
    sent: Mutex<Sent>,
    attempts: Mutex<BTreeMap<JobId, Arc<Attempt>>>,
}

/// The means to reach an attempt from outside its own task.
pub(crate) struct Attempt {
    pub(crate) stop: watch::Sender<Option<StopWhy>>,
    leash: Option<watch::Sender<Moment>>,
    pub(crate) cursor: Cursor,
    pub(crate) kept: Arc<dyn Kept>,
    /// Send the report again.
    pub(crate) again: Notify,
    /// Nobody needs anything of it any more.
    pub(crate) forgotten: CancellationToken,
    pub(crate) handed_back: AtomicBool,
}

/// What becomes of the delivery of a job that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    Ack,
    Requeue,
}

impl Attempt {
    /// `until`: when it is killed unless it is prolonged.
    pub(crate) fn new(kept: Arc<dyn Kept>, until: Option<Moment>) -> Arc<Self> {
        Arc::new(Self {
            stop: watch::Sender::new(None),
            leash: until.map(watch::Sender::new),
            cursor: Cursor::default(),
            kept,
            again: Notify::new(),
            forgotten: CancellationToken::new(),
            handed_back: AtomicBool::new(false),
        })
    }

    /// Shows until when it may run, if there is a limit.
    pub(crate) fn leash(&self) -> Option<watch::Receiver<Moment>> {
        self.leash.as_ref().map(watch::Sender::subscribe)
    }

    /// It may run on until this moment.
    pub(crate) fn prolong(&self, until: Moment) {
        if let Some(leash) = &self.leash {
            leash.send_if_modified(|now| {
                let longer = now.instant() < until.instant();
                if longer {
                    *now = until;
                }
                longer
            });
        }
    }

    /// Asks it to stop; a graver reason than one given before replaces it.
    pub(crate) fn stop(&self, why: StopWhy) {
        self.stop.send_if_modified(|now| {
            let graver = Some(why) > *now;
            if graver {
                *now = Some(why);
            }
            graver
        });
    }
}

impl Context {
    pub(crate) fn new(
        settings: Settings,
        (name, birth): (RunnerName, Birth),
        broker: Broker,
        hands: Arc<dyn Hands>,
    ) -> Self {
        let incarnation = Incarnation(seams::chance::id());
        Self {
            slots: Arc::new(Semaphore::new(usize::from(settings.slots))),
            settings,
            name,
            incarnation,
            birth,
            broker,
            hands,
            beat_now: Notify::new(),
            changed: Notify::new(),
            draining: AtomicBool::new(false),
            quarantine: Quarantine::new(),
            life: CancellationToken::new(),
            leases: TaskTracker::new(),
            holdings: Mutex::new(Holdings::new(incarnation)),
            sent: Mutex::default(),
            attempts: Mutex::default(),
        }
    }

    /// Starts a task that ends with this life at the latest.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        tokio::spawn(async move { life.run_until_cancelled_owned(task).await });
    }

    /// Starts the task of a job, whose last act is to remove its workspace.
    pub(crate) fn spawn_lease(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        self.leases.spawn(async move { life.run_until_cancelled_owned(task).await });
    }

    /// Waits until no file of a job is left, within limits: the next start removes the rest.
    pub(crate) async fn tidy(&self) {
        self.leases.close();
        let all = async {
            self.leases.wait().await;
            self.hands.settle().await;
        };
        if tokio::time::timeout(TIDY_LIMIT, all).await.is_err() {
            tracing::warn!("files of jobs are left in the runner's folder; the next start removes them");
        }
    }

    pub(crate) fn holdings(&self) -> MutexGuard<'_, Holdings<Delivery>> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attempts(&self) -> MutexGuard<'_, BTreeMap<JobId, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attempt(&self, job: JobId) -> Option<Arc<Attempt>> {
        self.attempts().get(&job).cloned()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Forgets a job with its spool. The delivery that brought it is settled as told; other copies go
    /// back to the queue, because they may belong to a later attempt: a claim will tell.
    pub(crate) async fn forget(&self, job: JobId, delivery: Settle) {
        let attempt = self.attempts().remove(&job);
        if let Some(attempt) = attempt {
            attempt.forgotten.cancel();
            attempt.kept.remove().await;
        }
        let (original, others) = self.holdings().forget(job);
        if let Some(one) = original {
            settle(one, delivery).await;
        }
        for copy in others {
            settle(copy, Settle::Requeue).await;
        }
        self.changed.notify_one();
    }
}

/// Void is no failure: the delivery comes again and is claimed again.
pub(crate) async fn settle(delivery: Delivery, how: Settle) {
    match how {
        Settle::Ack => delivery.ack().await,
        Settle::Requeue => delivery.requeue().await,
    };
}
