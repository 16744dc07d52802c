//! The process that stands between the runner and a job: hidden subcommand of the same binary.
//!
//! A process of its own for two reasons. Only a subreaper inherits those who leave their process
//! group, and only a process apart from the runner can outlive its `kill -9` by the moment it takes to
//! end the tree: the end of the pipe from the runner is the order to kill. The kernel's parent-death
//! signal is not used: it fires when the *thread* that spawned us ends, and the runner's threads come
//! and go. Starts in about a millisecond: no runtime, no logging, no settings. Must not know: brokers,
//! repositories, verdicts.

mod finally;
pub(crate) mod orders;
mod reaper;
mod tree;

use std::cell::Cell;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use messages::StepEnd;
use rustix::process::{DumpableBehavior, Pid, WaitStatus};

use crate::leash::since_boot;

use orders::{Begin, End, Order, Report};
use reaper::{Reaper, childless};

/// How long killed processes may take to vanish before the supervisor reports without them: a process
/// in uninterruptible sleep cannot be killed, and the runner must not wait for ever.
const PATIENCE_AFTER_KILL: Duration = Duration::from_secs(30);
/// How often a leash is looked at. Only exclusive jobs have one.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One thing that happened.
enum Event {
    Order(Order),
    /// The runner is gone.
    Orphaned,
    Ended(Pid, WaitStatus),
    Childless,
    /// The leash is over. Comes once.
    CutOff,
}

/// Entry of the hidden subcommand. To be called before anything else is set up.
pub fn supervise() -> ExitCode {
    match prepare().and_then(|()| obey()) {
        Ok(()) => ExitCode::SUCCESS,
        // The runner sees the missing last report; standard error is the job's log.
        Err(_) => ExitCode::from(70),
    }
}

fn prepare() -> io::Result<()> {
    // A process group leader cannot make a session; then it leads one already or was started by hand.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // The job runs as the same user: it shall not read our memory nor write into our pipes.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

fn obey() -> io::Result<()> {
    let (events, inbox) = mpsc::channel();
    let orders = events.clone();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(Ok(order)) = line.map(|line| serde_json::from_str(&line)) else { break };
            if orders.send(Event::Order(order)).is_err() {
                return;
            }
        }
        // The receiver may be gone because everything is over.
        drop(orders.send(Event::Orphaned));
    });
    let begin = match inbox.recv() {
        Ok(Event::Order(Order::Begin(begin))) => begin,
        _ => return Ok(()),
    };
    let supervisor = Supervisor {
        me: rustix::process::getpid(),
        deadline: Instant::now() + Duration::from_millis(begin.timeout_ms),
        wants_clean_up: Cell::new(true),
        leash: Cell::new(begin.leash_ms.map(Duration::from_millis)),
        reaper: Reaper::start(events),
        inbox,
        begin,
    };
    if let Some(end) = supervisor.run()? {
        report(&Report::End(end))?;
    }
    Ok(())
}

struct Supervisor {
    me: Pid,
    begin: Begin,
    deadline: Instant,
    /// By the clock of [`since_boot`]; `None`: there is none, or it has ended.
    leash: Cell<Option<Duration>>,
    /// Whether the order that ended the steps wants the clean-up steps to run.
    wants_clean_up: Cell<bool>,
    reaper: Reaper,
    inbox: Receiver<Event>,
}

/// What ended the wait for a step.
enum Waited {
    Ended(WaitStatus),
    TimedOut,
    Silent,
    Stop { grace: Duration },
    CutOff,
    Orphaned,
}

impl Supervisor {
    /// Runs all steps and ends what they left. `None` when the runner is gone and nobody listens.
    fn run(&self) -> io::Result<Option<End>> {
        let (end, green) = self.steps()?;
        let Some(end) = end else { return Ok(None) };
        if let Some(outcome) = finally::outcome_of(&end, green, self.wants_clean_up.get())
            && !self.clean_up(outcome)?
        {
            return Ok(None);
        }
        self.end_tree(Duration::from_millis(self.begin.stray_grace_ms));
        Ok(Some(end))
    }

    /// How the steps ended, and whether every one of them ended well.
    fn steps(&self) -> io::Result<(Option<End>, bool)> {
        for (index, step) in self.begin.steps.iter().enumerate() {
            if self.is_cut_off() {
                return Ok((Some(End::CutOff), false));
            }
            announce(step);
            let began = Instant::now();
            let child = match self.reaper.spawn(|| self.spawn(step, &[])) {
                Ok(child) => child,
                Err(cause) => return Ok((Some(self.not_started(index, &cause)), false)),
            };
            let Some(pid) = reaper::pid_of(&child) else {
                let why = "the process id is out of range".into();
                return Ok((Some(End::NotStarted { why }), false));
            };
            let (step_end, end) = match self.wait_for(pid) {
                Waited::Ended(status) => (reaper::step_end(status), None),
                Waited::TimedOut => {
                    self.end_tree(Duration::from_millis(self.begin.grace_ms));
                    (StepEnd::Stopped, Some(End::TimedOut))
                }
                Waited::Silent => {
                    self.end_tree(Duration::from_millis(self.begin.grace_ms));
                    (StepEnd::Stopped, Some(End::Silent))
                }
                Waited::Stop { grace } => {
                    self.end_tree(grace);
                    (StepEnd::Stopped, Some(End::Stopped))
                }
                Waited::CutOff => {
                    self.end_tree(Duration::ZERO);
                    (StepEnd::Stopped, Some(End::CutOff))
                }
                Waited::Orphaned => {
                    self.end_tree(Duration::ZERO);
                    return Ok((None, false));
                }
            };
            let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            report(&Report::Step { index, end: step_end, duration_ms })?;
            if let Some(end) = end {
                return Ok((Some(end), false));
            }
            if step_end != (StepEnd::Exited { code: 0 }) {
                return Ok((Some(End::Done), false));
            }
        }
        Ok((Some(End::Done), true))
    }

    /// Whose fault it is that a step did not start. The directory was there when the job began, so before
    /// the first step its absence is the machine's, and later the job's own. A missing shell, or no more
    /// processes or memory, may be anybody's.
    fn not_started(&self, index: usize, cause: &io::Error) -> End {
        // The very call that the new process fails at; this one stands in no directory that matters.
        match std::env::set_current_dir(&self.begin.dir) {
            Err(gone) if index > 0 => End::DirectoryGone { why: gone.to_string() },
            _ if matches!(cause.kind(), io::ErrorKind::ArgumentListTooLong | io::ErrorKind::InvalidInput) => {
                End::Unfit { why: cause.to_string() }
            }
            Err(_) | Ok(()) => {
                let shell = self.begin.shell.first().map_or("", String::as_str);
                End::NotStarted { why: format!("{shell}: {cause}") }
            }
        }
    }

    /// A process group of its own, so that `kill 0` in a step does not hit the supervisor.
    fn spawn(&self, step: &str, more: &[(&str, &str)]) -> io::Result<std::process::Child> {
        let log = io::stderr();
        let Some((program, arguments)) = self.begin.shell.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no shell"));
        };
        Command::new(program)
            .args(arguments)
            .arg(step)
            .current_dir(&self.begin.dir)
            .env_clear()
            .envs(self.begin.env.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(duplicate(&log)?)
            .stderr(duplicate(&log)?)
            .process_group(0)
            .spawn()
    }

    fn wait_for(&self, step: Pid) -> Waited {
        loop {
            match self.next(self.deadline) {
                Ok(Event::Ended(pid, status)) if pid == step => return Waited::Ended(status),
                Ok(Event::Order(Order::Stop { grace_ms, finally })) => {
                    self.wants_clean_up.set(finally);
                    return Waited::Stop { grace: Duration::from_millis(grace_ms) };
                }
                Ok(Event::Order(Order::Silent)) => return Waited::Silent,
                Ok(Event::CutOff) => return Waited::CutOff,
                Ok(Event::Ended(..) | Event::Childless | Event::Order(_)) => {}
                Ok(Event::Orphaned) | Err(RecvTimeoutError::Disconnected) => return Waited::Orphaned,
                Err(RecvTimeoutError::Timeout) => return Waited::TimedOut,
            }
        }
    }

    /// The next event, at the latest at `until`. Keeps the leash up to date.
    fn next(&self, until: Instant) -> Result<Event, RecvTimeoutError> {
        loop {
            if self.is_cut_off() {
                self.leash.set(None);
                return Ok(Event::CutOff);
            }
            let left = until.saturating_duration_since(Instant::now());
            // The wait stands still while the machine sleeps, and the leash does not.
            let wait = if self.leash.get().is_some() { left.min(LOOK_EVERY) } else { left };
            match self.inbox.recv_timeout(wait) {
                Ok(Event::Order(Order::Prolong { leash_ms })) => {
                    let longer = Duration::from_millis(leash_ms);
                    self.leash.set(self.leash.get().map(|leash| leash.max(longer)));
                }
                Err(RecvTimeoutError::Timeout) if wait < left => {}
                event => return event,
            }
        }
    }

    /// Whether an exclusive attempt has to be over by now.
    fn is_cut_off(&self) -> bool {
        self.leash.get().is_some_and(|leash| leash <= since_boot())
    }

    /// Ends every process of the job: SIGTERM, the grace, SIGKILL until none is left.
    fn end_tree(&self, grace: Duration) {
        if childless() {
            return;
        }
        if !grace.is_zero() {
            tree::terminate(self.me);
            self.await_childless(grace);
        }
        let patience = Instant::now() + PATIENCE_AFTER_KILL;
        while !childless() && Instant::now() < patience {
            tree::kill(self.me);
            // Again soon: one that was just being born when the tree was read is found next time.
            self.await_childless(Duration::from_millis(20));
        }
    }

    /// Waits until no process is left, at most `limit`, less if the runner goes or is in more of a hurry.
    fn await_childless(&self, limit: Duration) {
        let mut until = Instant::now() + limit;
        while !childless() {
            match self.next(until) {
                Ok(Event::Order(Order::Stop { grace_ms, finally })) => {
                    // The last word counts: what was cancelled may have become void meanwhile.
                    self.wants_clean_up.set(finally);
                    until = until.min(Instant::now() + Duration::from_millis(grace_ms));
                }
                Ok(Event::Orphaned | Event::CutOff) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

fn duplicate(log: &io::Stderr) -> io::Result<Stdio> {
    use std::os::fd::AsFd;
    Ok(log.as_fd().try_clone_to_owned()?.into())
}

/// Shows in the log what runs. A log that cannot be written is the runner's to notice.
fn announce(step: &str) {
    let first = step.lines().next().unwrap_or_default();
    let more = if step.lines().nth(1).is_some() { " ..." } else { "" };
    drop(io::stderr().write_all(format!("$ {first}{more}\n").as_bytes()));
}

fn report(report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
