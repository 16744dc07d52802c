//! One attempt from its checkout to its outcome. Must not know: the broker, the spool's results.

use std::path::{Path, PathBuf};
use std::time::Duration;

use messages::{ErroredKind, ErroredReason, Job, LEASH, MAX_TIMEOUT_SECONDS, Outcome, StepEnd, StepResult, Work};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checkout::{self, CheckoutError};
use crate::hands::{StopWhy, Ticket};
use crate::leash::Moment;
use crate::machine::Machine;
use crate::output::Log;
use crate::process::{self, Supervised, Told};
use crate::recognise;
use crate::supervisor::orders::{Begin, End};
use crate::workspace::Workspace;

/// The longest detail of an outcome, in characters: at most 4 KiB.
const MAX_DETAIL: usize = 1000;
/// Where the pipeline names none. `-e`, so that a step of several lines stops at the first that fails, as
/// everybody expects.
const SHELL: [&str; 3] = ["/bin/sh", "-e", "-c"];
/// How long SIGTERM may take for what the steps left running.
const STRAY_GRACE: Duration = Duration::from_millis(500);
/// How long the last output may take after the tree is gone.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// What can be made ready before it is certain that the job is ours.
pub(crate) struct Ready {
    pub(crate) workspace: Workspace,
    supervised: std::io::Result<Supervised>,
    checkout: JoinHandle<Result<(), CheckoutError>>,
    /// Ends a fetch. What is being written is written to its end: whoever removes the folder under a
    /// thread that writes finds it there again.
    unwanted: CancellationToken,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) outcome: Outcome,
    pub(crate) steps: Vec<StepResult>,
    /// The reason, if an order ended it: then the outcome may not matter.
    pub(crate) stopped: Option<StopWhy>,
}

/// Starts the checkout and the supervisor side by side.
pub(crate) fn prepare(machine: &Machine, job: &Job) -> std::io::Result<Ready> {
    let workspace = machine.workspaces.take(job.repository.name.as_str())?;
    let (mirrors, folder) = (machine.mirrors.clone(), workspace.checkout.clone());
    let (source, ref_name, commit) = (job.repository.clone(), job.ref_name.clone(), job.commit.clone());
    let unwanted = CancellationToken::new();
    let cancel = unwanted.clone();
    let checkout = tokio::spawn(async move {
        let objects = cancel.run_until_cancelled(checkout::objects(&mirrors, &source, &ref_name, &commit)).await;
        let objects = objects.unwrap_or_else(|| Err(CheckoutError::Fetch { why: "it was stopped".into() }))?;
        checkout::check_out(objects, commit, folder).await
    });
    let supervised = Supervised::start(&machine.supervisor);
    Ok(Ready { workspace, supervised, checkout, unwanted })
}

impl Ready {
    /// Why the job's supervisor could not be started, if so.
    pub(crate) fn fault(&self) -> Option<&std::io::Error> {
        self.supervised.as_ref().err()
    }

    /// Gives everything back unused, or used. Waits for a checkout that still writes.
    pub(crate) async fn discard(self, machine: &Machine) {
        drop(self.supervised);
        self.unwanted.cancel();
        drop(self.checkout.await);
        machine.workspaces.discard(self.workspace).await;
    }
}

/// Runs the attempt. Everything that is said goes into `log`.
pub(crate) async fn run(
    machine: &Machine,
    job: &Job,
    ticket: &Ticket,
    prepared: std::io::Result<Ready>,
    log: &mut Log,
    (mut stop, mut leash): (watch::Receiver<Option<StopWhy>>, Option<watch::Receiver<Moment>>),
) -> (Over, Option<Workspace>) {
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(cause) => return (host("make a workspace", &cause.to_string(), log), None),
    };
    let Ready { workspace, supervised, mut checkout, unwanted } = prepared;
    let checked_out = tokio::select! {
        biased;
        // First: after a freeze both may have come.
        () = end_of(&mut leash) => None,
        done = &mut checkout => Some(done),
        () = async { drop(stop.wait_for(Option::is_some).await) } => None,
    };
    let Some(checked_out) = checked_out else {
        unwanted.cancel();
        drop(checkout.await);
        let stopped = *stop.borrow();
        if stopped.is_none() {
            return (cut_off(log), Some(workspace));
        }
        return (Over { outcome: Outcome::Cancelled, steps: Vec::new(), stopped }, Some(workspace));
    };
    let checked_out = checked_out.unwrap_or_else(|cause| Err(CheckoutError::Refused { why: cause.to_string() }));
    let ended = match (checked_out, supervised) {
        (Err(cause), _) => errored(cause.kind(), &cause.to_string(), cause.worth_retrying(), log),
        (Ok(()), Err(cause)) => host("start a process", &cause.to_string(), log),
        (Ok(()), Ok(supervised)) => steps(machine, job, ticket, &workspace, supervised, log, (stop, leash)).await,
    };
    (ended, Some(workspace))
}

async fn steps(
    machine: &Machine,
    job: &Job,
    ticket: &Ticket,
    workspace: &Workspace,
    mut supervised: Supervised,
    log: &mut Log,
    (mut stop, mut leash): (watch::Receiver<Option<StopWhy>>, Option<watch::Receiver<Moment>>),
) -> Over {
    let steps: Vec<String> = match &job.spec.work {
        Work::Steps { steps } => steps.iter().map(|step| step.run.clone()).collect(),
        Work::Recognise => match recognise::recognise(&workspace.checkout) {
            Some(found) => {
                log.say(&format!("no .thump.toml; recognised {}: {}", found.by, found.steps.join(" && ")));
                found.steps
            }
            None => return errored(ErroredKind::NothingToRun, recognise::NOTHING, false, log),
        },
    };
    let dir = match directory(&workspace.checkout, job.spec.dir.as_deref()) {
        Ok(dir) => dir,
        Err(why) => return errored(ErroredKind::Pipeline, &why, false, log),
    };
    let env = match environment(job, ticket, workspace) {
        Ok(env) => env,
        Err(why) => return errored(ErroredKind::Pipeline, &why, false, log),
    };
    let grace = machine.grace;
    let begin = Begin {
        steps: steps.clone(),
        finally: job.spec.finally.iter().map(|step| step.run.clone()).collect(),
        finally_timeout_ms: match job.spec.finally.len() {
            0 => 0,
            _ => job.spec.finally_timeout_seconds.min(MAX_TIMEOUT_SECONDS) * 1000,
        },
        shell: if job.spec.shell.is_empty() { SHELL.map(str::to_owned).to_vec() } else { job.spec.shell.clone() },
        dir,
        env,
        timeout_ms: job.spec.timeout_seconds.min(MAX_TIMEOUT_SECONDS) * 1000,
        grace_ms: millis(grace),
        stray_grace_ms: millis(STRAY_GRACE.min(grace)),
        leash_ms: leash.as_mut().map(|leash| millis(leash.borrow_and_update().since_boot())),
    };
    let Some(pipe) = supervised.log.take() else { return host("read the output", "the pipe is gone", log) };
    let dead = CancellationToken::new();
    let (heard, hears) = watch::channel(());
    let silence = job.spec.silence_seconds;
    let running = supervised.run((job.id, ticket.attempt), begin, (&mut stop, leash), grace, silent(hears, silence));
    let (told, read) = both(running, log.fill_from(pipe, dead.clone(), heard), &dead).await;
    if let Err(cause) = read {
        return host("read the output", &cause.to_string(), log);
    }
    let stopped = *stop.borrow();
    if told.end == Some(End::Silent) {
        log.say(&format!("thump: stopped after {} s without output", silence.unwrap_or_default()));
    }
    judge(told, steps, stopped, silence, log)
}

/// Ends when nothing was heard for so long; never without a limit.
async fn silent(mut hears: watch::Receiver<()>, limit_seconds: Option<u64>) {
    if let Some(seconds) = limit_seconds {
        let limit = Duration::from_secs(seconds.min(MAX_TIMEOUT_SECONDS));
        loop {
            match tokio::time::timeout(limit, hears.changed()).await {
                Ok(Ok(())) => {}
                // The output has ended; whether the job has is for others to see.
                Ok(Err(_)) => break,
                Err(_) => return,
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Waits for the end of the job and of its output.
async fn both<T, R>(
    running: impl Future<Output = T>,
    reading: impl Future<Output = R>,
    dead: &CancellationToken,
) -> (T, R) {
    let (mut running, mut reading) = (std::pin::pin!(running), std::pin::pin!(reading));
    tokio::select! {
        told = &mut running => {
            // The pipe is closed now, unless somebody outside the tree was handed it.
            let read = match tokio::time::timeout(LAST_OUTPUT, &mut reading).await {
                Ok(read) => read,
                Err(_) => {
                    dead.cancel();
                    reading.await
                }
            };
            (told, read)
        }
        read = &mut reading => (running.await, read),
    }
}

/// What the supervisor's words mean.
fn judge(
    told: Told,
    steps: Vec<String>,
    stopped: Option<StopWhy>,
    silence_seconds: Option<u64>,
    log: &mut Log,
) -> Over {
    let results = told.steps.iter().zip(steps);
    let results: Vec<StepResult> =
        results.map(|(&(end, duration_ms), run)| StepResult { run, end, duration_ms }).collect();
    let green = results.iter().all(|step| step.end == StepEnd::Exited { code: 0 });
    let outcome = match told.end {
        Some(End::Done) if green => Outcome::Passed,
        Some(End::Done) => Outcome::Failed,
        Some(End::TimedOut) => Outcome::TimedOut { silence_seconds: None },
        Some(End::Silent) => Outcome::TimedOut { silence_seconds },
        Some(End::Stopped) => Outcome::Cancelled,
        Some(End::DirectoryGone { why }) => {
            let number = results.len() + 1;
            log.say(&format!(
                "thump: step {number} cannot start: the steps before it left no directory to start in: {why}"
            ));
            Outcome::Failed
        }
        Some(End::Unfit { why }) => {
            let detail = format!("step {} cannot be given to a shell: {why}", results.len() + 1);
            return errored(ErroredKind::Pipeline, &detail, false, log);
        }
        Some(End::CutOff) => return Over { steps: results, ..cut_off(log) },
        Some(End::NotStarted { why }) => return host("start a process", &why, log),
        None => return host("keep the supervisor of the job", "it was killed, perhaps by the job", log),
    };
    // One that ended by itself while it was being stopped has its own verdict, unless it is void.
    let stopped = stopped.filter(|why| outcome == Outcome::Cancelled || *why == StopWhy::Void);
    Over { outcome, steps: results, stopped }
}

/// The moment at which an exclusive attempt must not run any more.
async fn end_of(leash: &mut Option<watch::Receiver<Moment>>) {
    let Some(leash) = leash else { return std::future::pending().await };
    loop {
        let until = *leash.borrow_and_update();
        if until.has_passed() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(until.instant()) => {}
            // Nobody prolongs it any more.
            changed = leash.changed() => if changed.is_err() {
                tokio::time::sleep_until(until.instant()).await;
            }
        }
    }
}

fn cut_off(log: &mut Log) -> Over {
    let detail = format!(
        "killed: no beat of its runner was answered for {} s, and an exclusive job must have ended before its \
         next attempt begins",
        LEASH.as_secs()
    );
    errored(ErroredKind::CutOff, &detail, true, log)
}

fn host(act: &str, why: &str, log: &mut Log) -> Over {
    errored(ErroredKind::Host, &format!("the runner's machine could not {act}: {why}"), true, log)
}

fn errored(kind: ErroredKind, detail: &str, worth_retrying: bool, log: &mut Log) -> Over {
    let detail: String = detail.chars().take(MAX_DETAIL).collect();
    log.say(&format!("thump: {detail}"));
    Over {
        outcome: Outcome::Errored { reason: ErroredReason { kind, detail }, worth_retrying },
        steps: Vec::new(),
        stopped: None,
    }
}

/// Where the steps start. Never outside the checkout, whatever links it holds.
fn directory(checkout: &Path, dir: Option<&str>) -> Result<PathBuf, String> {
    let top = checkout.canonicalize().map_err(|cause| format!("find the checkout: {cause}"))?;
    let Some(dir) = dir else { return Ok(top) };
    match top.join(dir).canonicalize() {
        Ok(path) if path.starts_with(&top) && path.is_dir() => Ok(path),
        _ => Err(format!("the job's dir {dir:?} is no folder of the checkout")),
    }
}

/// The whole environment of a step, the later entries over the earlier ones: a little of the runner's,
/// the job's, and ours, which a job cannot fake.
fn environment(job: &Job, ticket: &Ticket, workspace: &Workspace) -> Result<Vec<(String, String)>, String> {
    let mut env = process::inherited();
    for (name, value) in &job.spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!(
                "the job's environment variable {name:?} has a name or value that no process can have"
            ));
        }
        env.push((name.clone(), value.clone()));
    }
    let path = |path: &Path| path.to_string_lossy().into_owned();
    env.extend(
        [
            ("CI", "true".to_owned()),
            ("THUMP", "true".to_owned()),
            ("THUMP_REPOSITORY", job.repository.name.to_string()),
            ("THUMP_REF", job.ref_name.to_string()),
            ("THUMP_COMMIT", job.commit.to_string()),
            ("THUMP_BUILD", job.build_number.to_string()),
            ("THUMP_JOB", job.id.to_string()),
            ("THUMP_JOB_NAME", job.name.replace('\0', "")),
            ("THUMP_ATTEMPT", ticket.attempt.to_string()),
            ("THUMP_WORKSPACE", path(&workspace.checkout)),
            ("TMPDIR", path(&workspace.tmp)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(env)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
