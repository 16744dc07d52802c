//! What the check found: broken promises by kind, and what is worth counting without being one.

use std::fmt;

/// A promise, by the way in which it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A commit without a build, or a job that is not there.
    Lost,
    /// Recorded twice, or one attempt run twice.
    Twice,
    /// A verdict of an attempt that did not run to its end.
    NotRun,
    /// A verdict that the code under test did not deserve.
    Wrong,
    /// Two attempts of a job that must never overlap did.
    Overlapping,
    /// A job without a verdict.
    Stuck,
    /// An attempt that ran and that nobody recorded as claimed.
    Unclaimed,
    /// A process of a job, alive when it must not be.
    Stray,
    /// A panic in the output of a role.
    Panic,
    /// A role that ended although nobody told it to, or did not end when told.
    Exit,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Twice,
        Self::NotRun,
        Self::Wrong,
        Self::Overlapping,
        Self::Stuck,
        Self::Unclaimed,
        Self::Stray,
        Self::Panic,
        Self::Exit,
    ];

    /// The words of the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Twice => "recorded twice",
            Self::NotRun => "recorded without having run",
            Self::Wrong => "wrong verdict",
            Self::Overlapping => "overlapping where never allowed",
            Self::Stuck => "stuck",
            Self::Unclaimed => "ran without a recorded claim",
            Self::Stray => "stray processes",
            Self::Panic => "panics",
            Self::Exit => "unplanned exits",
        }
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub kind: Kind,
    /// Of whom, in words.
    pub what: String,
}

/// All of them, and the counts that are no fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The broken promises.
    pub broken: Vec<Finding>,
    /// Jobs with a verdict.
    pub jobs: usize,
    /// Attempts that started.
    pub attempts: usize,
    /// Attempts that started while another one of the same job still ran: allowed, since execution is at least once.
    pub overlaps: usize,
    /// Jobs that ended `errored` for a reason that the faults explain.
    pub errored: usize,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, kind: Kind, what: impl Into<String>) {
        self.broken.push(Finding { kind, what: what.into() });
    }

    /// How many of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.broken.iter().filter(|finding| finding.kind == kind).count()
    }

    /// Whether every promise was kept.
    pub fn kept(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Findings {
    /// The table, and below it at most ten findings of each kind.
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in Kind::ALL {
            writeln!(text, "{:<34}{:>6}", kind.as_str(), self.count(kind))?;
        }
        writeln!(text, "{:<34}{:>6}", "jobs with a verdict", self.jobs)?;
        writeln!(text, "{:<34}{:>6}", "attempts started", self.attempts)?;
        writeln!(text, "{:<34}{:>6}", "overlapping attempts, allowed", self.overlaps)?;
        write!(text, "{:<34}{:>6}", "errored by the faults", self.errored)?;
        for kind in Kind::ALL {
            for finding in self.broken.iter().filter(|finding| finding.kind == kind).take(10) {
                write!(text, "\n{}: {}", kind.as_str(), finding.what)?;
            }
        }
        Ok(())
    }
}
