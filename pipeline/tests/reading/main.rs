//! What a pipeline file may say, and what its author is told.

mod conditions;
mod manners;
mod matrices;
mod mistakes;

use pipeline::{PipelineError, Plan, parse};

pub(crate) fn refused(text: &str) -> PipelineError {
    parse(text).expect_err(text)
}

/// The report must hold all of these.
pub(crate) fn says(text: &str, parts: &[&str]) {
    let report = refused(text).to_string();
    for part in parts {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }
}

pub(crate) fn accepted(text: &str) -> Plan {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A job that is fine, with something added.
pub(crate) fn job_with(more: &str) -> String {
    format!("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n{more}\n")
}
