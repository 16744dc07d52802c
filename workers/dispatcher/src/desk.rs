//! What every part of a term has on its desk: settings, connections, the board and the bells.
//!
//! A part that made work for another one rings its bell ([`Desk::wake_publisher`]); nobody polls. The
//! board is locked for single decisions only and never over an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker::{Broker, Exchange, Outgoing, Topic};
use messages::{Envelope, Incarnation, JobId, Message, MessageId, RunnerName};
use seams::chance;
use store::{Epoch, Ledger};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::Settings;
use crate::board::Board;
use crate::courier::Courier;
use crate::settled::AttemptKey;

pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) broker: Broker,
    pub(crate) ledger: Ledger,
    pub(crate) epoch: Epoch,
    /// Tells this term's ticks from all others.
    pub(crate) life: Incarnation,
    /// Tells the ticks behind which its probes' findings come from the clock's.
    pub(crate) probes: Incarnation,
    pub(crate) stop: CancellationToken,
    board: Mutex<Board>,
    publisher: Notify,
    reconcile: Notify,
    prober: Notify,
    courier: Courier,
    confirmed: mpsc::Sender<Vec<JobId>>,
    log_checks: mpsc::Sender<AttemptKey>,
}

/// The other ends of the desk's channels, one for each part that reads one.
pub(crate) struct Inboxes {
    pub(crate) letters: mpsc::Receiver<Outgoing>,
    pub(crate) confirmed: mpsc::Receiver<Vec<JobId>>,
    pub(crate) log_checks: mpsc::Receiver<AttemptKey>,
}

/// How many control messages may wait; see [`Desk::send`].
const LETTERS: usize = 4096;
/// How many rounds of confirms may wait for the ledger before the publisher does.
const CONFIRMED: usize = 64;
/// How many logs may wait for their check; see [`Desk::check_log`].
const LOG_CHECKS: usize = 4096;

impl Desk {
    pub(crate) fn open(
        settings: Settings,
        broker: Broker,
        ledger: Ledger,
        epoch: Epoch,
        board: Board,
        stop: CancellationToken,
    ) -> (Arc<Self>, Inboxes) {
        let (letters_in, letters) = mpsc::channel(LETTERS);
        let (confirmed_in, confirmed) = mpsc::channel(CONFIRMED);
        let (log_checks_in, log_checks) = mpsc::channel(LOG_CHECKS);
        let desk = Self {
            settings,
            broker,
            ledger,
            epoch,
            life: Incarnation(chance::id()),
            probes: Incarnation(chance::id()),
            stop,
            board: Mutex::new(board),
            publisher: Notify::new(),
            reconcile: Notify::new(),
            prober: Notify::new(),
            courier: Courier::new(letters_in),
            confirmed: confirmed_in,
            log_checks: log_checks_in,
        };
        (Arc::new(desk), Inboxes { letters, confirmed, log_checks })
    }

    /// For one decision; the guard must be gone before the next await (the lints see to that).
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        // A panic under the lock ends the term anyhow, and the next one has a board of its own.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be room or jobs now. Rings are joined: one look answers any number of them.
    pub(crate) fn wake_publisher(&self) {
        self.publisher.notify_one();
    }

    /// [`Desk::wake_publisher`], and what it knows of the backlog is out of date.
    pub(crate) fn wake_publisher_for_new_jobs(&self) {
        self.board().backlog_changed = true;
        self.publisher.notify_one();
    }

    /// [`Desk::wake_publisher`], and publishing may work again.
    pub(crate) fn wake_publisher_from_its_pause(&self) {
        self.board().broker_is_back = true;
        self.publisher.notify_one();
    }

    pub(crate) async fn publisher_bell(&self) {
        self.publisher.notified().await;
    }

    pub(crate) fn wake_reconcile(&self) {
        self.reconcile.notify_one();
    }

    pub(crate) async fn reconcile_bell(&self) {
        self.reconcile.notified().await;
    }

    /// There is a runner to be probed.
    pub(crate) fn wake_prober(&self) {
        self.prober.notify_one();
    }

    pub(crate) async fn prober_bell(&self) {
        self.prober.notified().await;
    }

    /// Publications that the broker confirmed, to be marked.
    pub(crate) async fn mark(&self, jobs: Vec<JobId>) {
        // The reader is gone only while the term ends; unmarked jobs are published again.
        self.confirmed.send(jobs).await.ok();
    }

    /// An attempt is over: see whether its log is whole.
    pub(crate) fn check_log(&self, attempt: AttemptKey) {
        // No room, or the term ends: the runner lists the attempt again, and it is checked then.
        self.log_checks.try_send(attempt).ok();
    }

    /// Sends a control message some time soon, or never: each is repeated by a beat's answer or a repeated
    /// announcement, so none is worth a wait on the way of claims.
    pub(crate) fn send<M: Message>(&self, to: &Topic, message: &M) {
        match Envelope::of(message, MessageId(chance::id())) {
            Ok(envelope) => self.courier.take(Outgoing::new(Exchange::Control, to.key(), envelope)),
            Err(cause) => error!(%cause, kind = M::KIND, "a control message could not be packed"),
        }
    }

    /// Sends one order outside of a beat, if the runner's life is known. The beat's answer repeats it.
    pub(crate) fn order(&self, runner: &RunnerName, order: messages::AttemptOrder) {
        let Some((incarnation, sequence)) = self.board().roster.address(runner) else { return };
        // The number of the last beat: newer than every answered one, so the runner heeds it.
        let answer = messages::BeatAnswer { incarnation, sequence, orders: vec![order], drain: false };
        self.send(&Topic::Runner(runner.clone()), &answer);
    }
}
