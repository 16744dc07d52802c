//! The clean-up steps of a job: run in any case, within a limit of their own, and without a say in its end.
//!
//! Apart from the steps because nearly everything differs: a failure stops nothing, silence and a cancel
//! are no reasons to end, and nobody reports how it went but the log.

use std::io::{self, Write};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use messages::StepEnd;

use super::orders::{End, Order};
use super::{Event, Supervisor, announce, reaper};

/// How clean-up steps learn what they clean up after.
const OUTCOME: &str = "THUMP_OUTCOME";

impl Supervisor {
    /// Runs the clean-up steps after the others ended like this. Returns false when the runner is gone.
    pub(super) fn clean_up(&self, outcome: &str) -> io::Result<bool> {
        let deadline = Instant::now() + Duration::from_millis(self.begin.finally_timeout_ms);
        for (index, step) in self.begin.finally.iter().enumerate() {
            if self.is_cut_off() {
                return Ok(true);
            }
            announce(step);
            let number = index + 1;
            let child = match self.reaper.spawn(|| self.spawn(step, &[(OUTCOME, outcome)])) {
                Ok(child) => child,
                Err(cause) => {
                    say(&format!("clean-up step {number} cannot start: {cause}"));
                    continue;
                }
            };
            let Some(pid) = reaper::pid_of(&child) else { return Ok(true) };
            let ended = loop {
                match self.next(deadline) {
                    Ok(Event::Ended(ended, status)) if ended == pid => break reaper::step_end(status),
                    // Whoever stops a job wants its clean-up, unless the attempt is void or has to be elsewhere.
                    Ok(Event::Order(Order::Stop { grace_ms, finally: false })) => {
                        self.end_tree(Duration::from_millis(grace_ms));
                        return Ok(true);
                    }
                    Ok(Event::CutOff) => {
                        self.end_tree(Duration::ZERO);
                        return Ok(true);
                    }
                    Ok(Event::Orphaned) | Err(RecvTimeoutError::Disconnected) => {
                        self.end_tree(Duration::ZERO);
                        return Ok(false);
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        say(&format!("clean-up step {number} was stopped at the limit of all clean-up steps"));
                        self.end_tree(Duration::from_millis(self.begin.grace_ms));
                        return Ok(true);
                    }
                    Ok(Event::Ended(..) | Event::Childless | Event::Order(_)) => {}
                }
            };
            match ended {
                StepEnd::Exited { code: 0 } => {}
                StepEnd::Exited { code } => say(&format!("clean-up step {number} exited with {code}")),
                StepEnd::Signalled { signal } => say(&format!("clean-up step {number} was ended by signal {signal}")),
                StepEnd::Stopped => {}
            }
        }
        Ok(true)
    }
}

/// What clean-up steps are told about the others' end; `None`: nothing is to be cleaned up, or nobody may.
pub(super) fn outcome_of(end: &End, green: bool, wanted: bool) -> Option<&'static str> {
    match end {
        End::Done if green => Some("passed"),
        End::Done | End::DirectoryGone { .. } => Some("failed"),
        End::TimedOut | End::Silent => Some("timed_out"),
        End::Stopped if wanted => Some("cancelled"),
        End::Stopped | End::CutOff | End::Unfit { .. } | End::NotStarted { .. } => None,
    }
}

/// A line of ours in the log. One that cannot be written is the runner's to notice.
fn say(line: &str) {
    drop(io::stderr().write_all(format!("thump: {line}\n").as_bytes()));
}
