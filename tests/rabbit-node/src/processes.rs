//! Reads the process table: who descends from a node, and whether a process is still the one we mean.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(10);

/// One process, safe against reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// Clock ticks between the machine's boot and the start of the process.
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Stat::read(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Neither gone nor a zombie. A zombie holds nothing but its number.
    pub(crate) fn runs(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Sends a signal; a process that is gone already is fine.
    pub(crate) fn signal(self, signal: Signal) {
        if self.runs() {
            // Fails only if it ended since.
            let _gone = kill_process(self.pid, signal);
        }
    }

    /// Waits until it runs no more; false if it still does.
    pub(crate) fn wait_gone(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.runs() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(POLL);
        }
        true
    }

    /// Children, their children and so on, as far as they still hang together.
    pub(crate) fn descendants(self) -> Vec<Self> {
        let everyone: Vec<(Self, Pid)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .filter_map(|pid| {
                Stat::read(pid).and_then(|stat| Some((Self { pid, started: stat.started }, stat.parent?)))
            })
            .collect();
        let mut family = vec![self];
        let mut next = 0;
        while let Some(parent) = family.get(next).map(|process| process.pid) {
            family.extend(everyone.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
            next += 1;
        }
        family.split_off(1)
    }
}

struct Stat {
    state: char,
    parent: Option<Pid>,
    started: u64,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        let line = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The name stands in brackets and may hold anything, brackets included. State is the first field after it.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: Pid::from_raw(fields.get(1)?.parse().ok()?),
            started: fields.get(19)?.parse().ok()?,
        })
    }
}
