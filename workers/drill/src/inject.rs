//! Lets planned faults happen. Each returns when it is over, its cure included.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fault_proxy::{Direction, End, Rule, Rules};
use proof::Kind;
use proof::faults::{Fault, Role, Slow, Way};
use rustix::process::Signal;
use tokio::sync::Mutex;

use crate::power::Power;
use crate::processes::{Process, marked_below};
use crate::site::{PATIENCE, Site, ended_well};
use crate::watch::Book;
use crate::wire;
use crate::worker::Worker;

/// How long a job may outlive its runner.
const STRAY_LIMIT: Duration = Duration::from_secs(2);
/// A busy machine is asked once more.
const STRAY_AGAIN: Duration = Duration::from_millis(400);

/// Injects faults into a site.
#[derive(Debug)]
pub struct Injector {
    site: Arc<Site>,
    book: Arc<Book>,
    /// One fault of the broker at a time.
    broker: Mutex<()>,
}

impl Injector {
    /// For this site; what is found on the way goes into the book.
    pub fn new(site: Arc<Site>, book: Arc<Book>) -> Self {
        Self { site, book, broker: Mutex::new(()) }
    }

    /// Lets it happen, and cures it. Returns what is worth telling.
    ///
    /// # Errors
    ///
    /// It could not be done.
    pub async fn inject(&self, fault: Fault) -> Result<String> {
        let url = || self.site.url().context("the broker is inside");
        match fault {
            Fault::Kill(role, pause) => self.kill(role, pause).await,
            Fault::Stop(role, pause) => self.stop(role, pause).await,
            Fault::Freeze(role, time) => {
                let life = self.site.worker(role)?.life().await;
                life.signal(Signal::STOP);
                tokio::time::sleep(time).await;
                life.signal(Signal::CONT);
                Ok(String::new())
            }
            Fault::Reset(role) => end(self.site.worker(role)?, End::Reset),
            Fault::Close(role) => end(self.site.worker(role)?, End::Close),
            Fault::BlackHole(role, way, time) => self.bad_line(role, towards(way, Rule::black_hole()), time).await,
            Fault::Slow(role, slow, time) => {
                let rule = match slow {
                    Slow::Late(milliseconds) => Rule::delay(Duration::from_millis(milliseconds)),
                    Slow::Thin(rate) => Rule::bandwidth(rate),
                    Slow::Sliced(bytes) => Rule::slice(bytes),
                };
                self.bad_line(role, Rules::both(rule), time).await
            }
            Fault::Cut(role, way, bytes) => {
                let proxy = self.site.worker(role)?.proxy()?;
                if way != Way::In {
                    proxy.cut_all_after(Direction::ToServer, bytes);
                }
                if way != Way::Out {
                    proxy.cut_all_after(Direction::ToClient, bytes);
                }
                Ok(String::new())
            }
            Fault::Refuse(role, time) => {
                let worker = self.site.worker(role)?;
                let proxy = worker.proxy()?;
                let _alone = worker.line.lock().await;
                proxy.refuse().await;
                proxy.end_all(End::Reset);
                tokio::time::sleep(time).await;
                proxy.accept().await;
                Ok(String::new())
            }
            Fault::BrokerKill(pause) => {
                let _alone = self.broker.lock().await;
                self.power()?.kill().await?;
                tokio::time::sleep(pause).await;
                self.boot().await
            }
            Fault::BrokerStop(pause) => {
                let _alone = self.broker.lock().await;
                self.power()?.stop().await?;
                tokio::time::sleep(pause).await;
                self.boot().await
            }
            Fault::BrokerFreeze(time) => {
                let _alone = self.broker.lock().await;
                self.power()?.freeze()?;
                tokio::time::sleep(time).await;
                self.power()?.thaw()?;
                Ok(String::new())
            }
            Fault::Purge(queue) => wire::purge(url()?, queue).await,
            Fault::Delete(queue) => {
                // Not just before the broker dies, see `wire::on_disk`.
                let _alone = self.broker.lock().await;
                let note = wire::delete(url()?, queue).await?;
                let Some(power) = self.site.power() else { return Ok(note) };
                Ok(format!("{note}{}", power.mend_after_delete().await?))
            }
            Fault::Double(count) => wire::send_again(url()?, count).await,
            Fault::Garbage(count) => wire::garbage(url()?, count).await,
        }
    }

    async fn kill(&self, role: Role, pause: Duration) -> Result<String> {
        let worker = Arc::clone(self.site.worker(role)?);
        let mut life = worker.life().await;
        let process = life.process();
        let family = process.map(Process::descendants).unwrap_or_default();
        let at = crate::uptime();
        life.kill();
        let ended = crate::uptime();
        if let Some(killed) = of_a_runner(role) {
            self.book.killed(killed, at);
        }
        let check = async {
            tokio::time::sleep(STRAY_LIMIT).await;
            self.strays_of(role, &family, ended).await;
        };
        let back = async {
            tokio::time::sleep(pause).await;
            worker.start(&mut life)
        };
        let ((), started) = tokio::join!(check, back);
        started?;
        Ok(format!("pid {}, {} descendants", process.map_or(0, |process| process.pid), family.len()))
    }

    /// What was there when the runner died and is still there two seconds later.
    async fn strays_of(&self, role: Role, family: &[Process], died: u64) {
        let alive = || {
            let folder = self.site.folder_of(role);
            let marked = marked_below(&folder).into_iter().map(|marked| marked.process);
            // What a next life of the same runner started is none of this one's.
            let marked = marked.filter(|process| process.started < died);
            let mut alive: Vec<Process> =
                family.iter().copied().filter(|process| process.runs()).chain(marked).collect();
            alive.sort_unstable();
            alive.dedup();
            alive
        };
        let first = alive();
        if first.is_empty() {
            return;
        }
        tokio::time::sleep(STRAY_AGAIN).await;
        for process in alive().into_iter().filter(|process| first.contains(process)) {
            let what = format!("{} of {role}, which was killed: {}", process.pid, process.command());
            self.book.add(Kind::Stray, what);
        }
    }

    async fn stop(&self, role: Role, pause: Duration) -> Result<String> {
        let worker = self.site.worker(role)?;
        let mut life = worker.life().await;
        let begun = tokio::time::Instant::now();
        life.signal(Signal::TERM);
        match life.ends_within(PATIENCE).await {
            Some(status) if ended_well(status, &life.output()) => {}
            Some(status) => self.book.add(Kind::Exit, format!("{role} was told to stop and ended with {status}")),
            None => {
                self.book.add(Kind::Exit, format!("{role} was told to stop and did not within {PATIENCE:?}"));
                life.kill();
            }
        }
        let took = begun.elapsed();
        tokio::time::sleep(pause).await;
        worker.start(&mut life)?;
        Ok(format!("it took {took:.1?}"))
    }

    async fn bad_line(&self, role: Role, rules: Rules, time: Duration) -> Result<String> {
        let worker = self.site.worker(role)?;
        let proxy = worker.proxy()?;
        let _alone = worker.line.lock().await;
        proxy.set(rules);
        tokio::time::sleep(time).await;
        proxy.heal().await;
        Ok(String::new())
    }

    fn power(&self) -> Result<&Arc<dyn Power>> {
        self.site.power().context("nobody has power over this broker")
    }

    async fn boot(&self) -> Result<String> {
        let begun = tokio::time::Instant::now();
        self.power()?.start().await?;
        Ok(format!("it booted in {:.1?}", begun.elapsed()))
    }
}

/// Whose attempts end with this role: those of the runner of this name, or (`None`) everybody's.
fn of_a_runner(role: Role) -> Option<Option<String>> {
    match role {
        Role::Runner(_) => Some(Some(role.to_string())),
        Role::Everything => Some(None),
        Role::Observer | Role::Dispatcher(_) => None,
    }
}

fn end(worker: &Worker, how: End) -> Result<String> {
    let proxy = worker.proxy()?;
    let count = proxy.connections().len();
    proxy.end_all(how);
    Ok(format!("{count} connections"))
}

fn towards(way: Way, rule: Rule) -> Rules {
    match way {
        Way::Out => Rules::one(Direction::ToServer, rule),
        Way::In => Rules::one(Direction::ToClient, rule),
        Way::Both => Rules::both(rule),
    }
}
