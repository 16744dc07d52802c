//! Rows 3 and 4: from the start of `git push` to the first instruction of the test, and from its last
//! instruction to the moment when a reader of the change feed knows the verdict.
//!
//! The job is one built-in of the shell that writes into a named pipe; this process notes the time when
//! it reads there, so its only step is the first instruction and the last one. All times are this
//! process's, the wake-up of its reader (some 0.05 ms) included. Beside them, in turn: the same push to
//! a repository that nobody watches, and to one whose post-receive hook checks out and runs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::figures::{Row, median, p50_p99};
use crate::helper::{HEARD, now};
use crate::world::repository::pipeline;
use crate::world::{Carrier, Repository, World};

/// How many files the small repository has.
pub(crate) const FILES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two pushes everything has come to rest.
const REST: Duration = Duration::from_millis(30);
/// As often as a small write and its sync are timed.
const SYNCS: usize = 100;

/// What one round measured, in milliseconds.
#[derive(Default)]
struct Round {
    push: Vec<f64>,
    hook: Vec<f64>,
    started: Vec<f64>,
    recorded: Vec<f64>,
}

/// Rows 3 and 4, on both brokers.
pub(crate) async fn measure(rounds: usize, pushes: usize) -> Vec<Row> {
    let mut table = Vec::new();
    for (carrier, name, goal) in
        [(Carrier::Embedded, "embedded", "push + <= 15 ms"), (Carrier::Rabbit, "RabbitMQ", "push + <= 20 ms")]
    {
        let mut all = Vec::new();
        for number in 1..=rounds {
            let round = round(carrier, pushes.div_ceil(rounds)).await;
            let ((p50, p99), push) = (p50_p99(std::slice::from_ref(&round.started)), median(&round.push));
            eprintln!("# push, {name}, round {number}: {p50:.1} / {p99:.1} ms, the push alone {push:.1} ms");
            all.push(round);
        }
        table.extend(rows(&all, name, goal));
    }
    table
}

fn rows(all: &[Round], name: &str, goal: &'static str) -> [Row; 2] {
    // Together: a round alone has too few pushes for its last percent.
    let of = |what: fn(&Round) -> &Vec<f64>| p50_p99(&[all.iter().flat_map(what).copied().collect()]);
    let ((push, push99), (hook, hook99)) = (of(|round| &round.push), of(|round| &round.hook));
    let ((started, started99), (recorded, recorded99)) = (of(|round| &round.started), of(|round| &round.recorded));
    let sync = one_sync();
    [
        Row {
            measure: format!("git push begun to first instruction, {name}, p50 / p99"),
            figure: format!("{started:.1} / {started99:.1} ms"),
            anchor: format!("push alone {push:.1} / {push99:.1}; hook that checks out {hook:.1} / {hook99:.1} ms"),
            ratio: format!("push {:+.1} ms", started - push),
            goal,
        },
        Row {
            measure: format!("last instruction to verdict recorded, {name}, p50 / p99"),
            figure: format!("{recorded:.1} / {recorded99:.1} ms"),
            anchor: format!("4 KiB and fdatasync {sync:.1} ms"),
            ratio: format!("{:.1}", recorded / sync),
            goal: "<= 5 ms",
        },
    ]
}

async fn round(carrier: Carrier, pushes: usize) -> Round {
    let mut world = World::new(carrier).await;
    let mut pipe = NamedPipe::new(&world.path("instructions"));
    let watched = world.repository("app");
    // Not the world's: nobody watches these.
    let folder = tempfile::Builder::new().prefix("thump-speed-").tempdir().expect("a folder");
    let (alone, hooked) = (Repository::new(folder.path(), "alone"), Repository::new(folder.path(), "hooked"));
    for repository in [&watched, &alone, &hooked] {
        fill(repository, &pipe.command("$THUMP_COMMIT"));
    }
    install_hook(&hooked, &folder, &pipe);
    world.start().await;
    warm_up(&world, &watched, &mut pipe).await;
    let mut feed = Feed::open(&world).await;
    let mut round = Round::default();
    for number in 0..pushes {
        change(&alone, number);
        round.push.push(milliseconds(push(&alone).await));

        change(&hooked, number);
        let begun = now();
        push(&hooked).await;
        round.hook.push(milliseconds(pipe.read().await.saturating_sub(begun)));

        let commit = change(&watched, number);
        let begun = now();
        push(&watched).await;
        let instruction = pipe.read().await;
        round.started.push(milliseconds(instruction.saturating_sub(begun)));
        round.recorded.push(milliseconds(feed.recorded(&world, &commit).await.saturating_sub(instruction)));
        tokio::time::sleep(REST).await;
    }
    round
}

/// A repository of some files with this one step.
pub(crate) fn fill(repository: &Repository, step: &str) {
    for number in 0..FILES {
        repository.write(&format!("src/file-{number}.txt"), &format!("line of file {number}\n").repeat(50));
    }
    repository.write(".thump.toml", &pipeline(&[step]));
    repository.commit("the beginning");
    repository.push();
}

/// The next commit, not pushed.
fn change(repository: &Repository, number: usize) -> String {
    repository.write("src/file-0.txt", &format!("change {number}\n"));
    repository.commit("a change")
}

/// Pushes and returns how long that took, in nanoseconds.
async fn push(repository: &Repository) -> u64 {
    let begun = Instant::now();
    tokio::task::block_in_place(|| repository.push());
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// The tip of the beginning is tested first; it fills every cache.
async fn warm_up(world: &World, watched: &Repository, pipe: &mut NamedPipe) {
    let tip = watched.git(&["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(world.verdict(&tip).await, "passed");
    pipe.read().await;
}

/// The least that a person would write by hand: no queue, no record, no isolation, and the pusher waits.
fn install_hook(repository: &Repository, folder: &TempDir, pipe: &NamedPipe) {
    let work = folder.path().join("warm");
    std::fs::create_dir(&work).expect("a folder");
    let text = format!(
        "#!/bin/sh\nread -r old new ref\nGIT_WORK_TREE='{}' git checkout -q -f \"$new\"\n{}\n",
        work.display(),
        pipe.command("$new")
    );
    let hook = repository.path().join("hooks/post-receive");
    std::fs::write(&hook, text).expect("a hook");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

/// Where jobs say that they run. Writing into it costs a shell no process.
struct NamedPipe {
    path: PathBuf,
    lines: mpsc::Receiver<u64>,
}

impl NamedPipe {
    fn new(path: &Path) -> Self {
        mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).expect("a named pipe");
        // For writing too: so it never ends, and no job waits for a reader.
        let file = File::options().read(true).write(true).open(path).expect("the pipe");
        let (said, lines) = mpsc::channel(HEARD);
        std::thread::spawn(move || {
            for _line in BufReader::new(file).lines().map_while(Result::ok) {
                if said.blocking_send(now()).is_err() {
                    return;
                }
            }
        });
        Self { path: path.to_owned(), lines }
    }

    fn command(&self, word: &str) -> String {
        format!("echo \"{word}\" > '{}'", self.path.display())
    }

    /// When the next line was read.
    async fn read(&mut self) -> u64 {
        timeout(PATIENCE, self.lines.recv()).await.expect("a line in time").expect("the reader lives")
    }
}

impl Drop for NamedPipe {
    fn drop(&mut self) {
        // Wakes the reader, which finds that nobody listens.
        self.lines.close();
        if let Ok(mut file) = File::options().write(true).open(&self.path) {
            drop(file.write_all(b"end\n"));
        }
    }
}

/// The change feed over one long connection, as a page reads it.
struct Feed {
    events: mpsc::Receiver<u64>,
}

impl Feed {
    async fn open(world: &World) -> Self {
        let client = reqwest::Client::new();
        let mut answer = client.get(format!("{}/api/v1/events", world.server())).send().await.expect("the feed");
        let (arrived, events) = mpsc::channel(HEARD);
        tokio::spawn(async move {
            // What changed is asked for afterwards; here only the moment counts.
            while let Ok(Some(chunk)) = answer.chunk().await {
                let moment = now();
                if chunk.windows(5).any(|bytes| bytes == b"data:") && arrived.send(moment).await.is_err() {
                    return;
                }
            }
        });
        Self { events }
    }

    /// When the feed told of the transaction that recorded the commit's verdict: the first event that came
    /// after that transaction had begun. The feed tells of it only when it is on disk.
    async fn recorded(&mut self, world: &World, commit: &str) -> u64 {
        let begun = finished_at(&world.done(commit).await[0]);
        timeout(PATIENCE, async {
            loop {
                let moment = self.events.recv().await.expect("the feed goes on");
                if moment >= begun {
                    return moment;
                }
            }
        })
        .await
        .expect("an event in time")
    }
}

fn finished_at(build: &Value) -> u64 {
    let moment: jiff::Timestamp = build["finished_at"].as_str().expect("it is done").parse().expect("a time");
    u64::try_from(moment.as_nanosecond()).unwrap_or(0)
}

/// What the disk alone takes, in milliseconds: the median of small appends, each made durable.
fn one_sync() -> f64 {
    let mut file = tempfile::tempfile().expect("a file");
    let took = |_| {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).expect("written");
        file.sync_data().expect("synced");
        begun.elapsed().as_secs_f64() * 1000.0
    };
    median(&(0..SYNCS).map(took).collect::<Vec<_>>())
}
