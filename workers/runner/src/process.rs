//! The runner's end of a supervisor: start it, give it orders, hear what it reports.
//!
//! Must not know: git, brokers, the spool.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use messages::{AttemptNumber, JobId, StepEnd};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::hands::StopWhy;
use crate::leash::Moment;
use crate::supervisor::orders::{Begin, End, Order, Report};

/// What a job inherits of the runner's environment. Everything else stays behind: the broker's address
/// and the like are for the runner alone.
const INHERITED: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "USER",
    "LOGNAME",
    "HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
];
/// How long past its limit a supervisor may be silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(60);

/// A supervisor that waits for its orders.
pub(crate) struct Supervised {
    child: Child,
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    /// Where the job's output comes out.
    pub(crate) log: Option<OwnedFd>,
}

/// What a supervisor told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Each step that ended, and after how many milliseconds.
    pub(crate) steps: Vec<(StepEnd, u64)>,
    /// Why they are over; `None` if the supervisor vanished.
    pub(crate) end: Option<End>,
}

impl Supervised {
    /// Starts the supervisor. It does nothing until [`Supervised::run`], and ends when this is dropped.
    pub(crate) fn start(program: &Path) -> io::Result<Self> {
        let (log, writer) = io::pipe()?;
        let mut command = Command::new(program);
        command.arg0("thump-supervise").arg("supervise").env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(writer);
        let mut child = command.spawn()?;
        let (Some(orders), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the supervisor has no pipes"));
        };
        Ok(Self { child, orders, reports: BufReader::new(out).lines(), log: Some(log.into()) })
    }

    /// Runs the steps to their end, whatever it is. Nothing of the job runs afterwards.
    pub(crate) async fn run(
        mut self,
        attempt: (JobId, AttemptNumber),
        begin: Begin,
        (stop, mut leash): (&mut watch::Receiver<Option<StopWhy>>, Option<watch::Receiver<Moment>>),
        stop_grace: Duration,
        silent: impl Future<Output = ()>,
    ) -> Told {
        let mut told = Told::default();
        let limits = [begin.timeout_ms, begin.grace_ms, begin.finally_timeout_ms, begin.grace_ms];
        let limit = limits.map(Duration::from_millis).iter().sum::<Duration>() + SILENCE;
        let silence = tokio::time::sleep(limit);
        tokio::pin!(silence);
        let mut silent = std::pin::pin!(silent);
        let mut is_silent = false;
        let mut sent = None;
        if self.order(&Order::Begin(begin)).await.is_ok() {
            loop {
                tokio::select! {
                    line = self.reports.next_line() => match line.ok().flatten().map(|line| serde_json::from_str(&line)) {
                        Some(Ok(Report::Step { end, duration_ms, .. })) => told.steps.push((end, duration_ms)),
                        Some(Ok(Report::End(end))) => {
                            told.end = Some(end);
                            break;
                        }
                        // Gone without a last word, or not ours any more.
                        Some(Err(_)) | None => break,
                    },
                    why = changed(stop, sent) => {
                        sent = Some(why);
                        let grace = if why == StopWhy::Void { Duration::ZERO } else { stop_grace };
                        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                        // If it does not arrive the supervisor is gone, which the next line tells.
                        drop(self.order(&Order::Stop { grace_ms, finally: why == StopWhy::Cancel }).await);
                    }
                    () = &mut silent, if !is_silent => {
                        is_silent = true;
                        drop(self.order(&Order::Silent).await);
                    }
                    leash_ms = prolonged(&mut leash) => drop(self.order(&Order::Prolong { leash_ms }).await),
                    () = &mut silence => break,
                }
            }
        }
        self.end(attempt, told.end.is_none()).await;
        told
    }

    async fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await?;
        self.orders.flush().await
    }

    /// Lets the supervisor go, and kills what it can have left if it was lost.
    async fn end(mut self, attempt: (JobId, AttemptNumber), lost: bool) {
        if lost {
            // It may be stopped by the job; then it cannot end the tree, and we do.
            drop(self.child.start_kill());
            drop(self.child.wait().await);
            drop(tokio::task::spawn_blocking(move || sweep(&[attempt])).await);
        } else {
            drop(self.orders);
            drop(self.child.wait().await);
        }
    }
}

async fn changed(stop: &mut watch::Receiver<Option<StopWhy>>, sent: Option<StopWhy>) -> StopWhy {
    match stop.wait_for(|why| *why > sent).await.map(|why| *why) {
        Ok(Some(why)) => why,
        // Nobody can stop it any more.
        _ => std::future::pending().await,
    }
}

async fn prolonged(leash: &mut Option<watch::Receiver<Moment>>) -> u64 {
    if let Some(leash) = leash
        && leash.changed().await.is_ok()
    {
        return u64::try_from(leash.borrow_and_update().since_boot().as_millis()).unwrap_or(u64::MAX);
    }
    std::future::pending().await
}

/// The environment that every job starts from.
pub(crate) fn inherited() -> Vec<(String, String)> {
    let wanted =
        |name: &OsString| name.to_str().is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"));
    std::env::vars_os()
        .filter(|(name, _)| wanted(name))
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Kills every process that carries one of these attempts in its environment: what is left when runner or
/// supervisor were killed together with their means to do it in order. The attempt's number counts, for
/// another runner on this machine may be at work on the next one. A process that emptied its
/// environment escapes this; the supervisor's tree is the rule, and this the exception.
pub(crate) fn sweep(attempts: &[(JobId, AttemptNumber)]) {
    let marks: Vec<[String; 2]> = attempts
        .iter()
        .map(|(job, attempt)| [format!("THUMP_JOB={job}"), format!("THUMP_ATTEMPT={attempt}")])
        .collect();
    for _ in 0..20 {
        let mut found = false;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
            let carries = |mark: &String| environment.split(|byte| *byte == 0).any(|line| mark.as_bytes() == line);
            let marked = marks.iter().any(|marks| marks.iter().all(carries));
            if marked && let Some(pid) = Pid::from_raw(pid) {
                found = true;
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if !found {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
