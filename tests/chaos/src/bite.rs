//! Nets for defects that only real processes or a real RabbitMQ show. Each tells what it found: nothing in a sound
//! program, something in one with the defect that it is for.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fault_proxy::{Direction, Rule, Rules};
use proof::faults::Role;
use rabbit_node::Node;
use rustix::process::Signal;

use crate::figures::{self, done, job_of, living, make, started, until};
use crate::node;
use drill::processes::marked_below;
use drill::work;
use drill::{Settings, Site};

/// How long a verdict or an ack may take that nothing is in the way of.
const SOON: Duration = Duration::from_secs(30);

/// A net, by the defect that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Publishing and consuming on one connection: an alarm stops the acks.
    OneConnection,
    /// The end of the output is waited for without a limit.
    OutputWithoutLimit,
    /// Only the process group of a step is killed.
    GroupOnly,
    /// The supervisor outlives its runner.
    SupervisorOutlives,
}

impl Net {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::OneConnection, Self::OutputWithoutLimit, Self::GroupOnly, Self::SupervisorOutlives];

    /// The defect's name in `THUMP_PLANTED`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneConnection => "one-connection",
            Self::OutputWithoutLimit => "output-without-limit",
            Self::GroupOnly => "group-only",
            Self::SupervisorOutlives => "supervisor-outlives",
        }
    }

    /// Casts it. What it found, or nothing.
    ///
    /// # Errors
    ///
    /// The machinery fails.
    pub async fn cast(self, settings: &Settings) -> Result<Option<String>> {
        match self {
            Self::OneConnection => acks_under_an_alarm(settings).await,
            Self::OutputWithoutLimit => an_output_that_somebody_holds(settings).await,
            Self::GroupOnly => a_daemon(settings).await,
            Self::SupervisorOutlives => Ok(figures::orphans(settings, 2).await?.wrong.pop()),
        }
    }
}

async fn small(settings: &Settings) -> Result<(Site, Arc<Node>)> {
    let (site, node) = node::site(&Settings { runners: 1, slots: 1, dispatchers: 1, ..settings.clone() }).await?;
    site.start().await?;
    living(&site, 1).await?;
    Ok((site, node))
}

/// A commit is announced; then the broker raises an alarm; then the dispatcher hears of the commit. It records it, and
/// its ack arrives although nothing that it publishes does.
async fn acks_under_an_alarm(settings: &Settings) -> Result<Option<String>> {
    let (site, node) = small(settings).await?;
    let dispatcher = site.worker(Role::Dispatcher(0))?;
    // What the broker has for it stays on the line; it itself goes on.
    dispatcher.proxy()?.set(Rules::one(Direction::ToClient, Rule::black_hole()));
    let text = work::job("test", None, site.folder(), "true", 0);
    let commit = site.repository.push(&[text])?.pop().context("a commit")?;
    node::unacked(&node, "thump.commits", |unacked| unacked > 0, SOON).await?.context("it is delivered")?;
    node.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.00000001)").await?;
    dispatcher.proxy()?.heal().await;
    let acked = node::unacked(&node, "thump.commits", |unacked| unacked == 0, SOON / 2).await?;
    node.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.4)").await?;
    done(&site, &commit).await?;
    Ok(acked.is_none().then(|| "an ack waited for the end of an alarm".to_owned()))
}

/// Somebody outside the job opened its output, and no kill of the job's tree closes that end.
async fn an_output_that_somebody_holds(settings: &Settings) -> Result<Option<String>> {
    let (site, _node) = small(settings).await?;
    let text = work::job("test", None, site.folder(), &until(&site, "go"), 0);
    let commit = site.repository.push(&[text])?.pop().context("a commit")?;
    let job = job_of(&site, &commit).await?.id;
    started(&site, &job, 1).await?;
    let process = marked_below(site.folder()).pop().context("the job's process")?;
    let held = File::options().write(true).open(format!("/proc/{}/fd/1", process.process.pid))?;
    make(&site, "go")?;
    let verdict = tokio::time::timeout(SOON, done(&site, &commit)).await;
    drop(held);
    Ok(verdict.is_err().then(|| "no verdict as long as somebody holds the job's output".to_owned()))
}

/// A job leaves a process behind that has left its group and its session.
async fn a_daemon(settings: &Settings) -> Result<Option<String>> {
    let (site, _node) = small(settings).await?;
    let text = work::job("test", None, site.folder(), "setsid sleep 600 >/dev/null 2>&1 9>&- &\nsleep 0.3", 0);
    let commit = site.repository.push(&[text])?.pop().context("a commit")?;
    done(&site, &commit).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let left = marked_below(site.folder());
    // With the defect nobody else ends it.
    for stray in &left {
        let pid = i32::try_from(stray.process.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    Ok(left.first().map(|stray| format!("{} outlived its job: {}", stray.process.pid, stray.command)))
}
