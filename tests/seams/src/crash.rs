//! The instants around a commit at which a simulated process can die.

/// Where the ledger's writer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Everything is written and nothing is saved.
    BeforeCommit,
    /// It is saved, and nobody knows yet.
    AfterCommit,
}

/// Whether the process dies here. Always no outside of a simulation.
pub fn here(point: Point) -> bool {
    #[cfg(feature = "simulation")]
    return armed::here(point);
    #[cfg(not(feature = "simulation"))]
    {
        let _ = point;
        false
    }
}

#[cfg(feature = "simulation")]
pub use armed::arm;

#[cfg(feature = "simulation")]
mod armed {
    use std::cell::RefCell;

    use super::Point;

    type Judge = Box<dyn FnMut(Point) -> bool>;

    thread_local! {
        static JUDGE: RefCell<Option<Judge>> = const { RefCell::new(None) };
    }

    /// Who decides on this thread from now on; `None`: nobody dies.
    pub fn arm(judge: Option<Judge>) {
        JUDGE.set(judge);
    }

    pub(super) fn here(point: Point) -> bool {
        JUDGE.with_borrow_mut(|judge| judge.as_mut().is_some_and(|judge| judge(point)))
    }
}
