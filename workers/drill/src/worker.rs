//! One process of Thump: how it is started, hurt and started again, with a line to the broker of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fault_proxy::Proxy;
use proof::faults::Role;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Mutex, MutexGuard};

use crate::processes::Process;

const POLL: Duration = Duration::from_millis(10);

/// How the process is started, every time anew.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The built program.
    pub thump: PathBuf,
    /// Its words.
    pub words: Vec<String>,
    /// The broker's URL, through the worker's own proxy, or `embedded`.
    pub broker: String,
    /// More environment.
    pub environment: Vec<(String, String)>,
}

/// A role's place, whatever process fills it at the moment.
#[derive(Debug)]
pub struct Worker {
    /// Which role.
    pub role: Role,
    /// Its line to the broker; `None` where the broker is inside.
    proxy: Option<Proxy>,
    /// Held by whoever makes the line bad for a time.
    pub line: Mutex<()>,
    recipe: Recipe,
    logs: PathBuf,
    lives: AtomicU32,
    life: Mutex<Life>,
}

/// The process of the moment. Whoever holds the lock on it may end it.
#[derive(Debug)]
pub struct Life {
    child: Option<Child>,
    log: PathBuf,
}

impl Worker {
    /// A place that nobody fills yet.
    pub fn new(role: Role, proxy: Option<Proxy>, recipe: Recipe, logs: &Path) -> Self {
        let life = Mutex::new(Life { child: None, log: PathBuf::new() });
        Self { role, proxy, line: Mutex::new(()), recipe, logs: logs.to_owned(), lives: AtomicU32::new(0), life }
    }

    /// Its line to the broker.
    ///
    /// # Errors
    ///
    /// The broker is inside, and there is no line that could be hurt.
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().with_context(|| format!("{} has no line to its broker", self.role))
    }

    /// Ends everything that is wrong with its line.
    pub async fn heal(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.heal().await;
        }
    }

    /// Waits until nobody else hurts it.
    pub async fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().await
    }

    /// The life, if nobody hurts it at the moment.
    pub fn calm_life(&self) -> Option<MutexGuard<'_, Life>> {
        self.life.try_lock().ok()
    }

    /// Starts the next life, with a log of its own.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub fn start(&self, life: &mut Life) -> Result<()> {
        let number = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let log = self.logs.join(format!("{}.{number:03}.log", self.role));
        let out = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let err = out.try_clone()?;
        let mut command = Command::new(&self.recipe.thump);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("THUMP_") {
                command.env_remove(name);
            }
        }
        command.args(&self.recipe.words).env("THUMP_BROKER", &self.recipe.broker).env("NO_COLOR", "1");
        command.envs(self.recipe.environment.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().context("start thump")?;
        *life = Life { child: Some(child), log };
        Ok(())
    }

    /// What every life said, with the name of its log.
    pub fn said(&self) -> Vec<(PathBuf, String)> {
        (1..=self.lives.load(Ordering::Relaxed))
            .map(|number| self.logs.join(format!("{}.{number:03}.log", self.role)))
            .map(|path| {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
                (path, text)
            })
            .collect()
    }
}

impl Life {
    /// The process, if it was started and not yet awaited.
    pub fn process(&self) -> Option<Process> {
        self.child.as_ref().and_then(|child| Process::of(child.id()))
    }

    /// What this life said so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// Sends a signal; one that has ended does not mind.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // Not awaited yet, so the number is still its own.
            let _gone = kill_process(id, signal);
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Waits for its end. `None` if it has not ended after the limit.
    pub async fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                self.child = None;
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.kill();
    }
}
