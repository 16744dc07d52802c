//! Defects that can be planted, to see that the tests find them: a net that catches nothing is worth nothing.
//!
//! Each is one line where the real code decides. Which net should find it:
//!
//! | net | defects |
//! |---|---|
//! | simulation (`tests/simulation`) | all of [`Defect::SIMULATED`] |
//! | chaos, with real processes and a real RabbitMQ | all of [`Defect::REAL`]: named here, planted with that suite |

/// A defect of the kind that a hurried change could bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Defect {
    /// Intake acks an announcement before its build is in the ledger.
    CommitAckedBeforeLedger,
    /// The dispatcher acks a result before its verdict is in the ledger.
    ResultAckedBeforeLedger,
    /// A runner acks its job before the broker has confirmed the result.
    JobAckedBeforeConfirm,
    /// A runner forgets its spool when the broker has the result, not when it is recorded.
    SpoolGoneAtConfirm,
    /// An announcement that comes again makes another build.
    IntakeTwice,
    /// The observer moves on when an announcement is published, not when it is recorded.
    CursorBeforeRecorded,
    /// A publication is marked before it is confirmed.
    MarkedBeforeConfirm,
    /// A report may carry any attempt's number.
    NumberUnchecked,
    /// A report may carry any token.
    TokenUnchecked,
    /// A dispatcher that was followed by another one may still write.
    EpochUnchecked,
    /// A lost attempt's job is queued without an outbox row.
    LostWithoutOutbox,
    /// Leases end by a timer instead of by ticks that came back.
    LeaseByTimer,
    /// A copy that came back starts at once, whoever holds the job.
    CopyWithoutProbe,
    /// What was handed back counts as lost with its runner.
    HandBackCounted,
    /// What was lost with its runner counts for nothing.
    LossUncounted,
    /// Nobody looks for published jobs that lie in no queue.
    LostJobsUnnoticed,
    /// Messages that no queue takes count as published.
    NoMandatory,
    /// A publish counts as done when it was written to the socket.
    NoConfirm,
    /// One connection to publish and to consume.
    OneConnection,
    /// The end of the output is waited for without a limit.
    OutputWithoutLimit,
    /// Only the process group of a step is killed.
    GroupOnly,
    /// The supervisor outlives its runner.
    SupervisorOutlives,
}

impl Defect {
    /// Those that the simulation finds.
    pub const SIMULATED: [Self; 17] = [
        Self::CommitAckedBeforeLedger,
        Self::ResultAckedBeforeLedger,
        Self::JobAckedBeforeConfirm,
        Self::SpoolGoneAtConfirm,
        Self::IntakeTwice,
        Self::CursorBeforeRecorded,
        Self::MarkedBeforeConfirm,
        Self::NumberUnchecked,
        Self::TokenUnchecked,
        Self::EpochUnchecked,
        Self::LostWithoutOutbox,
        Self::LeaseByTimer,
        Self::CopyWithoutProbe,
        Self::HandBackCounted,
        Self::LossUncounted,
        Self::LostJobsUnnoticed,
        Self::NoMandatory,
    ];

    /// Those that need real processes or a real RabbitMQ.
    pub const REAL: [Self; 5] =
        [Self::NoConfirm, Self::OneConnection, Self::OutputWithoutLimit, Self::GroupOnly, Self::SupervisorOutlives];

    /// Its name on a command line, and in `THUMP_PLANTED` for real processes.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// Whether this defect is planted. A constant without the feature, so it costs production code nothing.
#[cfg(not(feature = "defects"))]
#[inline(always)]
pub const fn planted(_: Defect) -> bool {
    false
}

/// Whether this defect is planted, by [`plant`] or by the environment variable `THUMP_PLANTED`.
#[cfg(feature = "defects")]
pub fn planted(defect: Defect) -> bool {
    chosen::get() == Some(defect)
}

/// Plants a defect for this process, or none.
#[cfg(feature = "defects")]
pub fn plant(defect: Option<Defect>) {
    chosen::set(defect);
}

#[cfg(feature = "defects")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Defect;

    /// 0: not looked up yet; 1: none; above: the place in the list.
    static CHOSEN: AtomicU8 = AtomicU8::new(0);

    fn all() -> impl Iterator<Item = Defect> {
        Defect::SIMULATED.into_iter().chain(Defect::REAL)
    }

    pub(super) fn set(defect: Option<Defect>) {
        let place = defect.and_then(|defect| all().position(|other| other == defect));
        CHOSEN.store(place.map_or(1, |place| place as u8 + 2), Ordering::Relaxed);
    }

    pub(super) fn get() -> Option<Defect> {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => {
                let name = std::env::var("THUMP_PLANTED").unwrap_or_default();
                set(all().find(|defect| defect.name() == name));
                get()
            }
            1 => None,
            place => all().nth(usize::from(place) - 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_has_a_name_that_can_be_typed() {
        assert_eq!(Defect::CursorBeforeRecorded.name(), "cursor-before-recorded");
    }
}
