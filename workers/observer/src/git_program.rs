//! The git program, for the network only: credentials, ssh configuration and speed are its strengths.
//!
//! Never through a shell; every address stands behind `--`; hooks, submodules, prompts and the system's
//! configuration are off, while the user's own credential helpers and ssh keys work. Each call has a
//! group of processes of its own that is killed as a whole when it is silent or takes too long.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::Trouble;
use crate::resolve::SCHEMES;

/// Variables that would bend git towards another repository (`git rev-parse --local-env-vars`); set
/// when the observer is started from a hook.
const FOREIGN: [&str; 15] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
];
const SETTINGS: [&str; 9] = [
    "protocol.version=2",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=no",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=10",
];
/// The most of git's output that is kept: a server could send refs without end.
const MAX_OUTPUT: usize = 64 * 1024 * 1024;
/// The most of git's complaints that is kept.
const MAX_COMPLAINT: usize = 16 * 1024;

/// How long git may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without a byte from it.
    pub(crate) idle: Duration,
    /// In all.
    pub(crate) overall: Duration,
}

/// Runs git and returns what it wrote to its standard output.
pub(crate) async fn run(
    what: &'static str,
    folder: Option<&Path>,
    arguments: &[&str],
    patience: Patience,
) -> Result<Vec<u8>, Trouble> {
    let failed = |why: String| Trouble::Git { what, why };
    let too_slow = |why: String| Trouble::GitTooSlow { what, why };
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    if let Some(folder) = folder {
        command.arg("--git-dir").arg(folder);
    }
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ALLOW_PROTOCOL", SCHEMES.join(":"))
        // Whoever would ask for a password on a terminal or in a window asks this, and it says no.
        .env("GIT_ASKPASS", "false")
        .env("SSH_ASKPASS", "false")
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|cause| failed(format!("start the git program: {cause}; is it installed?")))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));

    let (alive, mut signs) = mpsc::channel(1);
    let output = collect(child.stdout.take(), MAX_OUTPUT, alive.clone());
    let complaint = collect(child.stderr.take(), MAX_COMPLAINT, alive);
    let work = async { tokio::join!(output, complaint, child.wait()) };
    tokio::pin!(work);

    let end = Instant::now() + patience.overall;
    let silence = async {
        // The channel ends with both streams; then only the overall limit counts.
        loop {
            match timeout(patience.idle, signs.recv()).await {
                Ok(Some(())) => {}
                Ok(None) => std::future::pending::<()>().await,
                Err(_) => return,
            }
        }
    };
    let (output, complaint, status) = tokio::select! {
        done = timeout_at(end, &mut work) => match done {
            Ok(done) => done,
            Err(_) => return Err(too_slow(format!("git took longer than {:?}", patience.overall))),
        },
        () = silence => return Err(too_slow(format!("git was silent for {:?}", patience.idle))),
    };
    group.done();
    let status = status.map_err(|cause| failed(format!("wait for git: {cause}")))?;
    if output.len() > MAX_OUTPUT {
        return Err(failed(format!("the server sent more than {MAX_OUTPUT} bytes of refs")));
    }
    if status.success() { Ok(output) } else { Err(failed(format!("{} ({status})", readable(&complaint)))) }
}

/// Reads a stream to its end, keeps the beginning (one byte more than `most` says that there was more),
/// and gives a sign of life for every piece.
async fn collect(stream: Option<impl AsyncRead + Unpin>, most: usize, alive: mpsc::Sender<()>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let room = (most + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..length.min(room)]);
        // Full means that a sign is waiting already.
        let _ = alive.try_send(());
    }
    kept
}

/// git's own words without progress lines and control characters, cut to a line or two.
pub(crate) fn readable(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let lines: Vec<_> = text.lines().filter(|line| !line.contains('\r') && !line.trim().is_empty()).collect();
    let line = lines[lines.len().saturating_sub(4)..].join("; ");
    let line = without_users(&line);
    let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    if plain.is_empty() { "git gave no reason".to_owned() } else { plain }
}

/// Hides what stands before `@` in URLs: the user's own configuration may put a token there.
fn without_users(text: &str) -> String {
    let mut pieces = text.split("//");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(['/', ' ', '\'', '"']).unwrap_or(piece.len());
        let start = piece[..end].rfind('@').unwrap_or(0);
        plain.push_str(if start == 0 { "//" } else { "//***" });
        plain.push_str(&piece[start..]);
    }
    plain
}

/// Kills git and its helpers (ssh, remote-https, index-pack) when the wait for them is given up.
struct Group(Option<Pid>);

impl Group {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already, and that is fine.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_complains_of_is_shown_without_tokens_progress_and_control_characters() {
        let complaint =
            b"Receiving 10%\rReceiving 90%\r\nfatal: unable to access 'https://t0ken:x@host/a': \x1b[31mno\n";
        let shown = readable(complaint);
        assert_eq!(shown, "fatal: unable to access 'https://***@host/a':  [31mno");
        assert_eq!(readable(b""), "git gave no reason");
        assert_eq!(without_users("see https://host/a@b and ssh://git@host"), "see https://host/a@b and ssh://***@host");
    }

    #[tokio::test]
    async fn git_that_takes_too_long_is_killed_with_all_its_helpers() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/x", silent.local_addr().expect("bound"));
        let limit = Duration::from_millis(300);
        let patience = Patience { idle: limit, overall: limit };
        let failed = run("ask", None, &["ls-remote", "--", &url], patience).await.expect_err("silent");
        assert!(failed.to_string().contains("300ms"), "{failed}");
        let ours = |entry: &std::fs::DirEntry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&url))
        };
        let alive = || std::fs::read_dir("/proc").expect("Linux").flatten().any(|entry| ours(&entry));
        let end = Instant::now() + Duration::from_secs(10);
        while alive() {
            assert!(Instant::now() < end, "a helper of git lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_protocol_that_runs_commands_is_refused_by_git_itself_too() {
        let limit = Duration::from_secs(20);
        let patience = Patience { idle: limit, overall: limit };
        let folder = tempfile::tempdir().expect("temp");
        let mark = folder.path().join("ran");
        let url = format!("ext::touch {}", mark.display());
        let failed = run("ask", None, &["ls-remote", "--", &url], patience).await.expect_err("not allowed");
        assert!(failed.to_string().contains("not allowed"), "{failed}");
        assert!(!mark.exists());
    }
}
