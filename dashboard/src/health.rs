//! Whether this Thump works, in one answer for machines and one banner for people: what is faulty, by name.
//!
//! The link is watched; the ledger is asked, by a write of its own, when somebody wants to know and the last
//! answer is old. So an idle Thump that nobody looks at writes nothing. One question at a time is under way,
//! and nobody waits long for it: a ledger that does not answer is an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use broker::{Broker, Link};
use serde_json::{Value, json};
use store::Ledger;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::Desk;

/// An answer of the ledger counts for so long.
const FRESH: Duration = Duration::from_secs(2);
/// How long a machine waits for the ledger, and how long a reader of a page does.
const PATIENCE: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(300);

/// A role in this process that can tell what is wrong with it beyond broker and ledger.
pub struct Watched {
    /// What it is called.
    pub name: &'static str,
    /// Asked whenever somebody looks; must answer at once. `None`: it works.
    pub fault: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// What is known of the ledger.
#[derive(Debug, Clone)]
struct Answer {
    at: Instant,
    ledger: Result<(), String>,
    /// Unknown while the file system does not say.
    led: Option<bool>,
}

/// Asks and remembers. Shared by all handlers.
pub(crate) struct Health {
    ledger: Ledger,
    broker: Broker,
    roles: Vec<Watched>,
    last: Mutex<Option<Answer>>,
    asking: AtomicBool,
    answered: Notify,
}

/// How everything stands. Each part has a word, each fault a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    broker: String,
    ledger: String,
    lead: &'static str,
    pub(crate) faults: Vec<String>,
}

impl Health {
    pub(crate) fn new(ledger: Ledger, broker: Broker, roles: Vec<Watched>) -> Arc<Self> {
        let (last, asking, answered) = (Mutex::new(None), AtomicBool::new(false), Notify::new());
        Arc::new(Self { ledger, broker, roles, last, asking, answered })
    }

    /// How everything stands now.
    pub(crate) async fn now(self: &Arc<Self>) -> Standing {
        self.stands(PATIENCE).await
    }

    /// [`Health::now`] for a page, which must not wait for a locked ledger.
    pub(crate) async fn at_a_glance(self: &Arc<Self>) -> Standing {
        self.stands(GLANCE).await
    }

    async fn stands(self: &Arc<Self>, patience: Duration) -> Standing {
        let (ledger, led) = self.ask(patience).await;
        let link = self.broker.link().borrow().clone();
        let mut faults = Vec::new();
        let broker = match &link {
            Link::Up { .. } => "up".to_owned(),
            Link::Blocked { why, .. } => {
                faults.push(format!("the broker takes no messages: {why}"));
                format!("blocked: {why}")
            }
            Link::Down { why } => {
                faults.push(format!("the broker is not reachable: {why}"));
                format!("down: {why}")
            }
        };
        let lead = match led {
            Some(true) => "held",
            Some(false) => {
                faults.push("no dispatcher leads: nothing is recorded and no job is given out".to_owned());
                "nobody leads"
            }
            None => "unknown",
        };
        let ledger = match ledger {
            Ok(()) => "up".to_owned(),
            Err(why) => {
                faults.push(format!("the ledger takes no writes: {why}"));
                why
            }
        };
        // Who waits for broker or ledger is not to blame.
        if faults.is_empty() {
            let fault = |role: &Watched| (role.fault)().map(|fault| format!("the {} {fault}", role.name));
            faults.extend(self.roles.iter().filter_map(fault));
        }
        Standing { broker, ledger, lead, faults }
    }

    /// What the ledger answered a moment ago, or answers within `patience`.
    async fn ask(self: &Arc<Self>, patience: Duration) -> (Result<(), String>, Option<bool>) {
        let mut answered = std::pin::pin!(self.answered.notified());
        // From here on no answer is missed.
        answered.as_mut().enable();
        if let Some(answer) = self.last().filter(|answer| answer.at.elapsed() < FRESH) {
            return (answer.ledger, answer.led);
        }
        if !self.asking.swap(true, Ordering::AcqRel) {
            tokio::spawn(Arc::clone(self).question());
        }
        let waited = timeout(patience, answered).await;
        match (waited, self.last()) {
            (Ok(()), Some(answer)) => (answer.ledger, answer.led),
            // A glance was too short to judge: what was known before counts.
            (_, last) if patience < PATIENCE => last.map_or((Ok(()), None), |answer| (answer.ledger, answer.led)),
            // If it said why the last time, that is better than that it says nothing now.
            (_, Some(Answer { ledger: Err(why), led, .. })) => (Err(why), led),
            (_, last) => (Err(format!("no answer within {PATIENCE:?}")), last.and_then(|answer| answer.led)),
        }
    }

    async fn question(self: Arc<Self>) {
        let ledger = self.ledger.try_write().await.map_err(|cause| cause.to_string());
        let led = self.ledger.is_led().ok();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Answer { at: Instant::now(), ledger, led });
        self.asking.store(false, Ordering::Release);
        self.answered.notify_waiters();
    }

    fn last(&self) -> Option<Answer> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether the whole works: 200, or 503 with each fault by name.
pub(crate) async fn healthz(State(desk): State<Desk>) -> (StatusCode, Json<Value>) {
    let Standing { broker, ledger, lead, faults } = desk.health.now().await;
    let (status, word) =
        if faults.is_empty() { (StatusCode::OK, "good") } else { (StatusCode::SERVICE_UNAVAILABLE, "faulty") };
    let body = json!({
        "status": word, "broker": broker, "ledger": ledger, "lead": lead, "faults": faults,
        "version": env!("CARGO_PKG_VERSION"),
    });
    (status, Json(body))
}

/// Whether page and API can answer: they need no more than a ledger that can be read.
pub(crate) async fn readyz(State(desk): State<Desk>) -> (StatusCode, Json<Value>) {
    match timeout(PATIENCE, desk.ledger.pools_with_work()).await {
        Ok(Ok(_)) => (StatusCode::OK, Json(json!({"status": "ready"}))),
        Ok(Err(cause)) => not_ready(&cause.to_string()),
        Err(_) => not_ready(&format!("the ledger does not answer within {PATIENCE:?}")),
    }
}

fn not_ready(why: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "why": why})))
}
