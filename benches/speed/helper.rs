//! This program again, as another process: the ends of the queue path must not share a runtime.
//!
//! A helper says on its stdout what happened and when, and ends when its stdin does, so that none
//! outlives whoever started it. Times are the system's clock: one machine, one clock.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use crate::{noop_runner, plain};

/// The first argument of a helper.
pub(crate) const ROLE: &str = "role";
/// A runner that says when it starts each job, and one that keeps it to itself.
pub(crate) const TELLS: &str = "tells";
/// See [`TELLS`].
pub(crate) const QUIET: &str = "quiet";
/// In the environment, because a URL holds a password.
const BROKER: &str = "SPEED_BROKER";
const PATIENCE: Duration = Duration::from_secs(120);
/// How many moments may wait to be read: more than any row makes, so that taking one never waits.
pub(crate) const HEARD: usize = 1 << 17;

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Says a line: what, of which, when.
pub(crate) fn say(what: &str, which: &str, when: u64) {
    println!("{what} {which} {when}");
}

/// Plays the role that the words name.
pub(crate) async fn play(words: &[String]) {
    let complain = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        complain(panic);
        // Of whichever task: who waits for this process learns of it at once.
        std::process::exit(1);
    }));
    std::thread::spawn(|| {
        // Whatever ends the read, the starter has gone.
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(0);
    });
    let url = std::env::var(BROKER).expect("the broker's URL");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["plain-dispatcher"] => plain::dispatch(&url).await,
        ["plain-runner", tells] => plain::run(&url, *tells == TELLS).await,
        ["noop-runner", slots, tells] => {
            noop_runner::run(&url, slots.parse().expect("a number"), *tells == TELLS).await;
        }
        other => panic!("no role {other:?}"),
    }
}

/// A line that a helper said.
pub(crate) struct Said {
    pub(crate) what: String,
    pub(crate) which: String,
    pub(crate) when: u64,
}

/// A running helper.
pub(crate) struct Helper {
    child: Child,
    lines: mpsc::Receiver<Said>,
}

impl Helper {
    /// Starts this program in a role and waits until it is ready.
    pub(crate) async fn start(role: &[&str], url: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg(ROLE).args(role).env(BROKER, url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdout = child.stdout.take().expect("its stdout");
        let (said, lines) = mpsc::channel(HEARD);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut words = line.split(' ').map(str::to_owned);
                let (Some(what), Some(which), Some(when)) = (words.next(), words.next(), words.next()) else {
                    continue;
                };
                let Ok(when) = when.parse() else { continue };
                if said.blocking_send(Said { what, which, when }).is_err() {
                    return;
                }
            }
        });
        let mut helper = Self { child, lines };
        helper.hear("ready").await;
        helper
    }

    /// The next line that begins with `what`; others are passed over.
    pub(crate) async fn hear(&mut self, what: &str) -> Said {
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                let said = self.lines.recv().await.expect("the helper lives");
                if said.what == what {
                    return said;
                }
            }
        });
        heard.await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for a helper to say {what:?}"))
    }

    /// Every "recorded" line until `all` are: how many so far, and when.
    pub(crate) async fn until_recorded(&mut self, all: u64) -> Vec<(u64, u64)> {
        let mut marks = Vec::new();
        loop {
            let said = self.hear("recorded").await;
            let count = said.which.parse().expect("a number");
            marks.push((count, said.when));
            if count >= all {
                return marks;
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
