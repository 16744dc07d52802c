//! A runner that does nothing with its jobs, by the protocol: take, claim, report, ack; beats; keeps a
//! result until it is answered `recorded`.
//!
//! What the real one does beside that (checkout, processes, spool, log) belongs to the rows about pushes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::{Broker, Delivery, Event, Exchange, Listener, Outgoing, Queue, Role, Topic};
use jiff::Timestamp;
use messages::{
    AttemptNumber, AttemptToken, Beat, BeatAnswer, Birth, Claim, ClaimAnswer, Envelope, Finished, FinishedAttempt,
    HeldJob, Incarnation, Job, JobId, Message, MessageId, Order, Outcome, PoolName, RunnerName, RunningAttempt,
    StepEnd, StepResult,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::helper::{now, say};

const BEAT_EVERY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);
/// Reports that go out together.
const BATCH: usize = 256;
/// How often it says how many results are recorded.
const EVERY: u64 = 50;
/// SHA-256 of nothing: no job says anything.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What it has.
#[derive(Default)]
struct Holdings {
    held: HashSet<JobId>,
    running: HashMap<JobId, (AttemptNumber, AttemptToken)>,
    finished: HashMap<JobId, Finished>,
    recorded: u64,
    beats: u64,
}

struct Runner {
    name: RunnerName,
    incarnation: Incarnation,
    birth: Birth,
    slots: u16,
    tells: bool,
    broker: Broker,
    holdings: Mutex<Holdings>,
    reports: mpsc::Sender<(Finished, Option<Delivery>)>,
}

/// Runs until its process ends.
pub(crate) async fn run(url: &str, slots: u16, tells: bool) {
    let name: RunnerName = "noop".parse().expect("a name");
    let broker = Broker::rabbit(url, Role { name: format!("runner {name}"), declares_topology: false });
    let broker = broker.expect("a broker's URL");
    broker.wait_until_up().await.expect("connected");
    let incarnation = Incarnation(Uuid::new_v4());
    let birth = Birth { folder: Uuid::new_v4(), number: 1 };
    let mut jobs = broker.consume(Queue::Jobs(PoolName::default()), slots);
    let mut control = broker.listen(Listener::Runner { name: name.clone(), incarnation, pool: PoolName::default() });
    let (reports, to_send) = mpsc::channel(BATCH);
    let holdings = Mutex::default();
    let runner = Arc::new(Runner { name, incarnation, birth, slots, tells, broker, holdings, reports });
    tokio::spawn(runner.clone().report(to_send));
    // Of both consumers.
    let mut resumed = 0;
    loop {
        let event = tokio::select! {
            event = jobs.next() => (event, true),
            event = control.next() => (event, false),
        };
        match event {
            (Some(Event::Delivery(delivery)), true) => runner.take(delivery),
            (Some(Event::Delivery(order)), false) => runner.obey(&order).await,
            (Some(Event::Resumed), _) => {
                resumed += 1;
                if resumed == 2 {
                    // Now the dispatcher has declared where it goes.
                    tokio::spawn(runner.clone().beat());
                    say("ready", "-", now());
                }
            }
            (event, _) => panic!("the connection was lost: {event:?}"),
        }
    }
}

impl Runner {
    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, delivery: Delivery) {
        let job: Job = delivery.envelope.as_ref().expect("an envelope").open().expect("a job");
        self.holdings().held.insert(job.id);
        tokio::spawn(self.clone().hold(job, delivery));
    }

    async fn hold(self: Arc<Self>, job: Job, delivery: Delivery) {
        let answer = self.claim(job.id, delivery.redelivered).await;
        self.holdings().held.remove(&job.id);
        let (attempt, token) = match answer {
            ClaimAnswer::Run { attempt, token } => (attempt, token),
            ClaimAnswer::Drop { .. } => {
                delivery.ack().await;
                return;
            }
        };
        if self.tells {
            say("started", job.commit.as_str(), now());
        }
        self.holdings().running.insert(job.id, (attempt, token.clone()));
        let moment = Timestamp::now();
        let finished = Finished {
            runner: self.name.clone(),
            incarnation: self.incarnation,
            job: job.id,
            attempt,
            token,
            outcome: Outcome::Passed,
            steps: vec![StepResult { run: "true".into(), end: StepEnd::Exited { code: 0 }, duration_ms: 0 }],
            started_at: moment,
            finished_at: moment,
            log_length: 0,
            log_sha256: NOTHING.into(),
            test_pieces: 0,
        };
        {
            let mut holdings = self.holdings();
            holdings.running.remove(&job.id);
            holdings.finished.insert(job.id, finished.clone());
        }
        self.reports.send((finished, Some(delivery))).await.expect("the sender lives");
    }

    async fn claim(&self, job: JobId, redelivered: bool) -> ClaimAnswer {
        let pool = PoolName::default();
        let (runner, incarnation, birth) = (self.name.clone(), self.incarnation, self.birth);
        let claim = Claim { runner, incarnation, birth, pool, job, redelivered };
        loop {
            let key = Topic::Claim(self.name.clone()).key();
            let question = Outgoing::new(Exchange::Results, key, packed(&claim, MessageId(Uuid::new_v4())));
            // Silence: the same question gets the same answer.
            if let Ok(answer) = self.broker.request(question, PATIENCE).await {
                return answer.open().expect("an answer");
            }
        }
    }

    /// Reports what has gathered, then acks it.
    async fn report(self: Arc<Self>, mut to_send: mpsc::Receiver<(Finished, Option<Delivery>)>) {
        let mut batch = Vec::new();
        while to_send.recv_many(&mut batch, BATCH).await > 0 {
            let key = Topic::Result(self.name.clone()).key();
            let outgoing = batch.iter().map(|(finished, _)| {
                Outgoing::new(Exchange::Results, key.clone(), packed(finished, finished.message_id()))
            });
            for result in self.broker.publish_all(outgoing.collect()).await {
                result.expect("a confirm");
            }
            let acks = batch.drain(..).filter_map(|(_, delivery)| delivery).map(Delivery::ack);
            futures::future::join_all(acks).await;
        }
    }

    async fn beat(self: Arc<Self>) {
        loop {
            let beat = self.next_beat();
            let id = MessageId::of(&["beat", &beat.incarnation.to_string(), &beat.sequence.to_string()]);
            let key = Topic::Beat(self.name.clone()).key();
            let sent = self.broker.publish(Outgoing::new(Exchange::Results, key, packed(&beat, id))).await;
            sent.expect("a beat");
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    fn next_beat(&self) -> Beat {
        let mut holdings = self.holdings();
        holdings.beats += 1;
        let running = |(job, (attempt, token)): (&JobId, &(AttemptNumber, AttemptToken))| RunningAttempt {
            job: *job,
            attempt: *attempt,
            token: token.clone(),
            log_sent: 0,
        };
        let finished = |report: &Finished| FinishedAttempt {
            job: report.job,
            attempt: report.attempt,
            token: report.token.clone(),
            log_sent: 0,
        };
        Beat {
            runner: self.name.clone(),
            incarnation: self.incarnation,
            birth: self.birth,
            sequence: holdings.beats,
            pool: PoolName::default(),
            slots: u32::from(self.slots),
            draining: false,
            trouble: None,
            version: env!("CARGO_PKG_VERSION").into(),
            held: holdings.held.iter().map(|job| HeldJob { job: *job }).collect(),
            running: holdings.running.iter().map(running).collect(),
            finished: holdings.finished.values().map(finished).collect(),
        }
    }

    async fn obey(&self, order: &Delivery) {
        let Ok(envelope) = &order.envelope else { return };
        let Ok(answer) = envelope.open::<BeatAnswer>() else { return };
        let mut again = Vec::new();
        {
            let mut holdings = self.holdings();
            for order in answer.orders {
                match order.order {
                    Order::Recorded if holdings.finished.remove(&order.job).is_some() => {
                        holdings.recorded += 1;
                        if self.tells || holdings.recorded.is_multiple_of(EVERY) {
                            say("recorded", &holdings.recorded.to_string(), now());
                        }
                    }
                    Order::Continue => again.extend(holdings.finished.get(&order.job).cloned()),
                    Order::Recorded | Order::Cancel | Order::Void => {}
                }
            }
        }
        for finished in again {
            self.reports.send((finished, None)).await.expect("the sender lives");
        }
    }
}

fn packed<M: Message>(message: &M, id: MessageId) -> Envelope {
    Envelope::of(message, id).expect("small")
}
