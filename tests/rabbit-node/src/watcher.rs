//! The small process between the test process and its node, which makes sure that the node never outlives the test.
//!
//! A shell that reads a pipe, because of all ways it alone covers every end of a test process: a drop, a normal exit
//! (statics are never dropped), a panic that aborts, SIGKILL. A parent-death signal would not do: it is tied to the
//! *thread* that started the node, and test threads end early; setting it also needs unsafe code.

use crate::{NodeError, processes::Process};
use rustix::process::{Pid, Signal};
use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

const SCRIPT: &str = include_str!("watcher.sh");

/// How long helpers of the server (name look-up, disk watch) may take to notice that it is gone before they are killed.
const HELPERS_LINGER: Duration = Duration::from_secs(2);

/// The watcher, its port mapper and, while it is up, its server.
#[derive(Debug)]
pub(crate) struct Watcher {
    shell: Child,
    /// Closed by the drop: that is the order to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(crate) epmd: Process,
    pub(crate) server: Option<Process>,
}

/// What a watcher is told once.
pub(crate) struct Charge<'a> {
    pub(crate) epmd: &'a Path,
    pub(crate) epmd_port: u16,
    pub(crate) server: &'a Path,
    /// Removed by the watcher at the end.
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a [(&'static str, OsString)],
}

impl Watcher {
    pub(crate) fn start(charge: &Charge<'_>) -> Result<Self, NodeError> {
        let port = charge.epmd_port.to_string();
        let arguments: [&OsStr; 4] =
            [charge.epmd.as_ref(), port.as_ref(), charge.server.as_ref(), charge.folder.as_ref()];
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "rabbit-node-watcher"])
            .args(arguments)
            .env_clear()
            .envs(charge.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(charge.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Away from the terminal's group: Ctrl-C is for the test process, the pipe tells the watcher.
            .process_group(0)
            .spawn()
            .map_err(NodeError::os("run", "/bin/sh"))?;
        let (Some(orders), Some(answers)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(NodeError::WatcherGone);
        };
        let mut answers = BufReader::new(answers);
        let epmd = answer(&mut answers).as_deref().and_then(numbered).ok_or(NodeError::WatcherGone)?;
        Ok(Self { shell, orders: Some(orders), answers, epmd, server: None })
    }

    /// Starts the server; a running one is killed first.
    pub(crate) fn up(&mut self) -> Result<Process, NodeError> {
        self.down()?;
        let server = self.order("up").as_deref().and_then(numbered).ok_or(NodeError::WatcherGone)?;
        self.server = Some(server);
        Ok(server)
    }

    /// Kills the server, helpers included; returns when they are gone.
    pub(crate) fn down(&mut self) -> Result<(), NodeError> {
        let Some(server) = self.server.take() else { return Ok(()) };
        let family = server.descendants();
        let obeyed = self.order("down");
        // Whatever the watcher says: a server that still runs is killed here.
        bury(server, &family);
        obeyed.map(|_| ()).ok_or(NodeError::WatcherGone)
    }

    /// Every process of the node: watcher, port mapper, server and its helpers.
    pub(crate) fn family(&self) -> Vec<Process> {
        let Some(shell) = Pid::from_raw(self.shell.id().cast_signed()).and_then(Process::of) else { return Vec::new() };
        let mut family = shell.descendants();
        family.insert(0, shell);
        family
    }

    /// The watcher's answer; none if it is gone.
    fn order(&mut self, word: &str) -> Option<String> {
        writeln!(self.orders.as_mut()?, "{word}").ok()?;
        answer(&mut self.answers)
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    let read = answers.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim().to_owned())
}

fn numbered(answer: &str) -> Option<Process> {
    Process::of(Pid::from_raw(answer.parse().ok()?)?)
}

/// Sees to it that a dead server's helpers are gone; they end by themselves, only not at once.
fn bury(server: Process, helpers: &[Process]) {
    for process in helpers.iter().chain([&server]) {
        if !process.wait_gone(HELPERS_LINGER) {
            process.signal(Signal::KILL);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let helpers = self.server.map(Process::descendants).unwrap_or_default();
        drop(self.orders.take());
        // It needs some ten milliseconds; the folder is gone when it is.
        let _status = self.shell.wait();
        // Had someone killed the watcher, these would be left.
        self.epmd.signal(Signal::KILL);
        if let Some(server) = self.server {
            server.signal(Signal::KILL);
            bury(server, &helpers);
        }
    }
}
