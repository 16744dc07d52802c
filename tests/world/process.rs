//! Processes of the built program. Each ends with its handle, by its id, with all that it started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// The program under test, in a clean environment.
pub(crate) fn thump() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thump"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THUMP_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs a command to its end: exit code, stdout, stderr.
pub(crate) async fn finish(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A running process of Thump.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with everything that it says in one file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let out = File::create(log).expect("a log file");
        let err = out.try_clone().expect("a second handle");
        let child = command.stdout(out).stderr(err).spawn().expect("thump starts");
        Self { child, log: log.to_owned() }
    }

    /// What it said so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it says something that contains `text`.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let output = self.output();
            if output.contains(text) {
                return output;
            }
            let ended = self.child.try_wait().expect("a status");
            assert!(ended.is_none(), "it ended with {ended:?} before it said {text:?}:\n{output}");
            assert!(begun.elapsed() < PATIENCE, "waited for it to say {text:?}, it said:\n{output}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The address of page and API that it prints.
    pub(crate) async fn says_address(&mut self) -> String {
        let output = self.says("http://127.0.0.1:").await;
        let start = output.find("http://127.0.0.1:").expect("said");
        output[start..].split_whitespace().next().expect("an address").to_owned()
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// The system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no chance to say goodbye.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it ended");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("the process is there");
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_some()
    }

    /// Waits for its end.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "waited for its end, it said:\n{}", self.output());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The supervisors of its jobs die with it and take their jobs along.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
