//! Reads the process table: who descends from a role, and who carries a job's mark in its environment.
//!
//! A process is known by its number and its start together, so that a number given again is no mistake. Names play no
//! part: a job may call its processes as it likes.

use std::fs;
use std::path::Path;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// The system's number for it.
    pub pid: u32,
    /// Clock ticks between the machine's start and its own.
    pub started: u64,
}

/// A process that belongs to a job, told by the environment that the runner gave to the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Which process.
    pub process: Process,
    /// The job's id.
    pub job: String,
    /// The attempt's number.
    pub attempt: u32,
    /// The checkout, which tells whose job it is.
    pub workspace: String,
    /// Its command line, for people.
    pub command: String,
}

struct Stat {
    zombie: bool,
    parent: u32,
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Neither gone nor a zombie, which holds nothing but its number.
    pub fn runs(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && !stat.zombie)
    }

    /// Children, their children and so on, as far as they still hang together.
    pub fn descendants(self) -> Vec<Self> {
        let everyone: Vec<(Self, u32)> = numbers()
            .filter_map(|pid| stat(pid).map(|stat| (Self { pid, started: stat.started }, stat.parent)))
            .collect();
        let mut family = vec![self];
        let mut next = 0;
        while let Some(parent) = family.get(next).map(|process| process.pid) {
            family.extend(everyone.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
            next += 1;
        }
        family.split_off(1)
    }

    /// Its command line, for people.
    pub fn command(self) -> String {
        let words = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    }

    /// How many files and sockets it holds open.
    pub fn descriptors(self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count())
    }
}

/// Every living process of a job whose checkout lies below `folder`.
pub fn marked_below(folder: &Path) -> Vec<Marked> {
    numbers().filter_map(|pid| mark(pid, folder)).collect()
}

fn mark(pid: u32, folder: &Path) -> Option<Marked> {
    let process = Process::of(pid)?;
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        let mut lines = environment.split(|byte| *byte == 0);
        let line = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(String::from_utf8_lossy(line).into_owned())
    };
    let workspace = value("THUMP_WORKSPACE").filter(|path| Path::new(path).starts_with(folder))?;
    let (job, attempt) = (value("THUMP_JOB")?, value("THUMP_ATTEMPT")?.parse().ok()?);
    process.runs().then(|| Marked { process, job, attempt, workspace, command: process.command() })
}

fn numbers() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets included. State is the first field after it.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        zombie: *fields.first()? == "Z",
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_marked_process_is_found_also_when_it_left_its_parent() {
        let folder = std::env::temp_dir().join(format!("thump-marks-{}", std::process::id()));
        let mut parent = Command::new("/bin/sh")
            .args(["-c", "setsid sleep 600 & echo $!"])
            .env("THUMP_WORKSPACE", folder.join("checkout"))
            .env("THUMP_JOB", "a-job")
            .env("THUMP_ATTEMPT", "3")
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a shell");
        parent.wait().expect("it ends");
        let found = marked_below(&folder);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].job.as_str(), found[0].attempt), ("a-job", 3));
        assert!(found[0].process.runs());
        assert!(marked_below(&folder.join("elsewhere")).is_empty());
        let pid = rustix::process::Pid::from_raw(i32::try_from(found[0].process.pid).expect("small")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        while found[0].process.runs() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(marked_below(&folder).is_empty());
    }

    #[test]
    fn descendants_are_found_through_their_parents() {
        let mut child = Command::new("/bin/sh").args(["-c", "sleep 600 & wait"]).spawn().expect("a shell");
        let process = Process::of(child.id()).expect("it runs");
        let mut family = process.descendants();
        while family.is_empty() {
            family = process.descendants();
        }
        assert!(family.iter().any(|one| one.runs()));
        for one in &family {
            let pid = rustix::process::Pid::from_raw(i32::try_from(one.pid).expect("small")).expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        }
        child.wait().expect("it ends");
        assert!(!process.runs());
    }
}
