//! What happens to one seed's world: every fault, and what people and strangers do.

use broker::{Exchange, Hold, Outgoing, Role};
use jiff::Timestamp;
use messages::{AttemptNumber, AttemptToken, Envelope, Finished, JobId, Outcome};

use super::*;

impl World {
    pub(super) async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Push(seen) => {
                self.truth.note(format_args!("pushed  {}", seen.commit.short()));
                self.truth.get().announced.push((*seen).clone());
                self.repository.push(*seen);
            }
            Deed::Fault => self.fault().await,
            Deed::Restart(name) => {
                if !self.alive.contains_key(&name) {
                    self.start(&name).await;
                }
            }
            Deed::Release(name) => {
                self.truth.note(format_args!("free    {name}"));
                self.weather.release(&name);
                if name.starts_with("runner") {
                    self.truth.get().hold(&name, false);
                }
            }
            Deed::StartBroker => {
                self.truth.note(format_args!("broker  is back"));
                self.weather.start();
            }
            Deed::AlarmOff => {
                self.truth.note(format_args!("alarm   is over"));
                self.weather.alarm(false);
                self.truth.get().tamper();
            }
            Deed::Accept(exchange) => {
                self.truth.note(format_args!("room    in {}", exchange.name()));
                self.weather.refuse(exchange, false);
                self.truth.get().tamper();
            }
            Deed::Calm => self.climate(),
            Deed::End => {}
        }
    }

    async fn fault(&mut self) {
        const QUEUES: [&str; 5] =
            ["thump.commits", "thump.results", "thump.jobs.default", "thump.logs", "thump.jobs.default"];
        let queue = self.dice.pick(&QUEUES);
        match self.dice.below(30) {
            0..3 => {
                let Some(name) = self.any_runner() else { return };
                self.count("runner killed");
                self.die(&name);
            }
            3..5 => {
                let Some(name) = self.any() else { return };
                self.count("role killed");
                self.die(&name);
            }
            5..7 => {
                let Some(name) = self.any_runner() else { return };
                self.count("runner stopped");
                self.truth.note(format_args!("stop    {name}"));
                if let Some(process) = self.alive.get(&name) {
                    if self.dice.percent(50) { process.now.cancel() } else { process.drain.cancel() }
                }
            }
            7 => {
                let Some(process) = self.alive.get("dispatcher-0") else { return };
                process.drain.cancel();
                self.truth.note(format_args!("stop    dispatcher-0"));
                self.count("dispatcher stopped");
            }
            8..11 => {
                let Some(name) = self.any() else { return };
                self.truth.note(format_args!("cut     {name}"));
                self.weather.cut(&name);
            }
            11..14 => {
                let Some(name) = self.any() else { return };
                let hold = [Hold::ToBroker, Hold::FromBroker, Hold::Both, Hold::Frozen][self.dice.below(4) as usize];
                let length =
                    if self.dice.percent(50) { self.dice.millis(100, 9_000) } else { self.dice.millis(9_000, 40_000) };
                self.truth.note(format_args!("hold    {name} {hold:?} {length:?}"));
                self.weather.hold(&name, hold);
                if name.starts_with("runner") {
                    self.truth.get().hold(&name, true);
                }
                self.plan(length, Deed::Release(name));
            }
            14..16 => {
                self.truth.note(format_args!("purge   {queue}"));
                self.truth.get().tamper();
                self.weather.purge(queue);
            }
            16 => {
                self.truth.note(format_args!("delete  {queue}"));
                self.truth.get().tamper();
                self.weather.delete(queue);
            }
            17..19 => {
                self.truth.note(format_args!("shuffle {queue}"));
                self.weather.shuffle(queue);
            }
            19 => {
                self.truth.note(format_args!("repeat  {queue}"));
                self.weather.repeat(queue);
            }
            20 => {
                self.truth.note(format_args!("broker  restarts"));
                self.weather.stop();
                let after = self.dice.millis(50, 8_000);
                self.plan(after, Deed::StartBroker);
            }
            21 => {
                self.truth.note(format_args!("broker  is replaced by an empty one"));
                self.truth.get().tamper();
                self.weather.wipe();
            }
            22 => {
                self.truth.note(format_args!("alarm"));
                self.truth.get().tamper();
                self.weather.alarm(true);
                let after = self.dice.millis(500, 20_000);
                self.plan(after, Deed::AlarmOff);
            }
            23 => {
                let full =
                    [Exchange::Commits, Exchange::Jobs, Exchange::Results, Exchange::Jobs][self.dice.below(4) as usize];
                self.truth.note(format_args!("full    {}", full.name()));
                self.truth.get().tamper();
                self.weather.refuse(full, true);
                let after = self.dice.millis(500, 15_000);
                self.plan(after, Deed::Accept(full));
            }
            24 => {
                let by = i64::try_from(self.dice.below(7_200_000)).unwrap_or(0) - 3_600_000;
                self.truth.note(format_args!("clock   jumps by {by} ms"));
                self.count("clock jump");
                seams::chance::jump(by);
            }
            25 => {
                self.climate();
                self.plan(Duration::from_secs(5), Deed::Calm);
            }
            26 => {
                let Some(name) = self.any() else { return };
                let deed = self.dice.between(1, 12);
                self.truth.note(format_args!("fuse    {name} {deed}"));
                self.count("death in the act");
                self.truth.get().fuse = Some((name, deed));
            }
            27 => {
                self.truth.note(format_args!("usurp   the lock of the leader is deleted"));
                self.count("lock deleted");
                drop(std::fs::remove_file(self.folder.join("ledger.db.leader")));
            }
            28 => self.forge().await,
            _ => self.cancel().await,
        }
    }

    /// Somebody who is not its holder reports an attempt that runs.
    async fn forge(&mut self) {
        let Some(office) = &self.office else { return };
        let Ok(running) = office.running().await else { return };
        let Some(of) = running.first() else { return };
        self.count("forged result");
        self.truth.note(format_args!("forge   a result of {} attempt {}", of.job, of.attempt));
        let finished = Finished {
            runner: of.runner.clone(),
            incarnation: of.incarnation,
            job: of.job,
            attempt: AttemptNumber(of.attempt.0),
            token: AttemptToken::from_random(seams::chance::secret()),
            outcome: Outcome::TimedOut { silence_seconds: None },
            steps: Vec::new(),
            test_pieces: 0,
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            log_length: 7,
            log_sha256: String::new(),
        };
        let broker = self.weather.connect(Role { name: "stranger".to_owned(), declares_topology: false });
        if let Ok(envelope) = Envelope::of(&finished, messages::MessageId(seams::chance::id())) {
            let key = broker::Topic::Result(of.runner.clone()).key();
            drop(broker.publish(Outgoing::new(Exchange::Results, key, envelope)).await);
        }
        broker.close().await;
    }

    async fn cancel(&mut self) {
        let jobs: Vec<JobId> = self.truth.get().open_jobs();
        let (Some(job), Some(office)) = (jobs.first(), &self.office) else { return };
        self.truth.get().cancelled.insert(*job);
        self.truth.note(format_args!("cancel  {job}"));
        self.truth.get().office = true;
        drop(office.cancel_job(*job, "somebody").await);
        self.truth.get().office = false;
        self.count("cancel");
    }
}
