//! Finds and signals everything that descends from this process.
//!
//! A process group is not enough: `setsid` leaves it. As a subreaper the supervisor inherits whoever
//! lost their parent, so the parent links of `/proc` lead to every process of the job. Must not know:
//! what the processes are for.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// How often a tree that keeps growing is looked at again before it is killed as it stands. A fork
/// bomb grows between two looks; a stopped process does not.
const FREEZE_ROUNDS: usize = 20;

/// Every living descendant of `root`, parents before children.
pub(super) fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A process that ended meanwhile has no file any more; it is no descendant either.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some((parent, alive)) = parent_of(&stat)
            && alive
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.extend(Pid::from_raw(child));
            open.push(child);
        }
    }
    found
}

/// Reads the parent from a line of `/proc/<pid>/stat` (proc_pid_stat(5)), and whether it is more than
/// a zombie. The name in the second field may hold blanks and brackets, so the last bracket counts.
fn parent_of(stat: &str) -> Option<(i32, bool)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((parent, !matches!(state, "Z" | "X")))
}

/// Asks every descendant to end, in a way that it may handle or ignore.
pub(super) fn terminate(root: Pid) {
    for pid in descendants(root) {
        // Gone meanwhile is as good. A stopped process hears it once it goes on.
        let _ = kill_process(pid, Signal::TERM);
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Kills every descendant. Stops them first, so that none can start another one meanwhile.
pub(super) fn kill(root: Pid) {
    let mut frozen = BTreeSet::new();
    for _ in 0..FREEZE_ROUNDS {
        let mut fresh = false;
        for pid in descendants(root) {
            if frozen.insert(pid.as_raw_nonzero()) {
                fresh = true;
                let _ = kill_process(pid, Signal::STOP);
            }
        }
        if !fresh {
            break;
        }
    }
    for pid in descendants(root) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_cannot_hide_behind_a_name_with_brackets() {
        assert_eq!(parent_of("42 (a) S 1 (b) R 7 42 42 0"), Some((7, true)));
        assert_eq!(parent_of("42 (sh) Z 7 42 42 0"), Some((7, false)));
        assert_eq!(parent_of("nonsense"), None);
    }
}
