//! The last runs of one test, and what follows from them: failing, flaky, slow. Pure.
//!
//! Apart from rows and statements, so that the rules can be read and tried in one place.

use messages::{MessageId, TestOutcome};

use crate::LedgerError;
use crate::rows::odd;

/// How many runs of a test are remembered.
pub(crate) const RUNS: usize = 20;

/// One run of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of its report.
    pub(crate) report: i64,
    pub(crate) outcome: TestOutcome,
    /// It contradicts another run of the same tree, or the report itself says so.
    pub(crate) flaky: bool,
    pub(crate) duration_ms: Option<i64>,
}

/// Who a test is: the same for the same words, on every machine.
pub fn id_of(repository: &str, job: &str, suite: &str, class: &str, name: &str) -> String {
    MessageId::of(&["test", repository, job, suite, class, name]).to_string()
}

/// The runs, newest first, as the column holds them: `17p5 12f! 3s`.
pub(crate) fn write(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        use std::fmt::Write as _;
        let letter = letter(run.outcome);
        let mark = if run.flaky { "!" } else { "" };
        let gap = if text.is_empty() { "" } else { " " };
        // Writing into a text cannot fail.
        let _ = match run.duration_ms {
            Some(ms) => write!(text, "{gap}{}{letter}{mark}{ms}", run.report),
            None => write!(text, "{gap}{}{letter}{mark}", run.report),
        };
    }
    text
}

/// Reads them back.
pub(crate) fn read(text: &str) -> Result<Vec<Run>, LedgerError> {
    let run = |word: &str| {
        let at = word.find(|c: char| c.is_ascii_alphabetic())?;
        let (report, rest) = word.split_at(at);
        let outcome = OUTCOMES.into_iter().find(|outcome| rest.starts_with(letter(*outcome)))?;
        let rest = &rest[1..];
        let flaky = rest.starts_with('!');
        let ms = rest.trim_start_matches('!');
        let duration_ms = if ms.is_empty() { None } else { Some(ms.parse().ok()?) };
        Some(Run { report: report.parse().ok()?, outcome, flaky, duration_ms })
    };
    text.split_ascii_whitespace()
        .map(|word| run(word).ok_or_else(|| odd(format_args!("a run of a test {word:?}"))))
        .collect()
}

/// Puts a new run before the others. `same_tree` are the reports of the same job on the same tree: a test that
/// was red there and is green here, or the reverse, is flaky.
pub(crate) fn add(runs: &mut Vec<Run>, mut new: Run, same_tree: &[i64]) {
    let contradicts = |old: &Run| {
        same_tree.contains(&old.report)
            && ((old.outcome == TestOutcome::Passed && new.outcome.is_bad())
                || (old.outcome.is_bad() && new.outcome == TestOutcome::Passed))
    };
    new.flaky = new.outcome == TestOutcome::Flaky || runs.iter().any(contradicts);
    runs.insert(0, new);
    runs.truncate(RUNS);
}

/// What nine of ten runs stay below, in milliseconds; 0 if nothing is known.
pub(crate) fn typical_ms(runs: &[Run]) -> i64 {
    let mut known: Vec<i64> =
        runs.iter().filter(|run| run.outcome != TestOutcome::Skipped).filter_map(|run| run.duration_ms).collect();
    known.sort_unstable();
    // The nearest rank, counted from 1.
    known.get((known.len() * 9).div_ceil(10).saturating_sub(1)).copied().unwrap_or(0)
}

const OUTCOMES: [TestOutcome; 5] =
    [TestOutcome::Passed, TestOutcome::Failed, TestOutcome::Errored, TestOutcome::Skipped, TestOutcome::Flaky];

fn letter(outcome: TestOutcome) -> char {
    match outcome {
        TestOutcome::Passed => 'p',
        TestOutcome::Failed => 'f',
        TestOutcome::Errored => 'e',
        TestOutcome::Skipped => 's',
        TestOutcome::Flaky => 'k',
    }
}

/// The outcome for a word.
pub(crate) fn outcome_of(word: &str) -> Result<TestOutcome, LedgerError> {
    OUTCOMES
        .into_iter()
        .find(|outcome| outcome.as_str() == word)
        .ok_or_else(|| odd(format_args!("outcome of a test {word:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(report: i64, outcome: TestOutcome, duration_ms: Option<i64>) -> Run {
        Run { report, outcome, flaky: false, duration_ms }
    }

    #[test]
    fn runs_are_written_and_read_back() {
        let mut runs = Vec::new();
        for (number, outcome) in OUTCOMES.into_iter().enumerate() {
            add(&mut runs, run(i64::try_from(number).expect("small"), outcome, (number % 2 == 0).then_some(7)), &[]);
        }
        assert_eq!(read(&write(&runs)).expect("read"), runs);
        assert_eq!(read("").expect("read"), []);
        assert!(read("12x").is_err() && read("p").is_err() && read("1p5x").is_err());
    }

    #[test]
    fn red_and_green_on_one_tree_is_flaky_and_on_two_is_not() {
        for (first, then, same, flaky) in [
            (TestOutcome::Failed, TestOutcome::Passed, true, true),
            (TestOutcome::Passed, TestOutcome::Errored, true, true),
            (TestOutcome::Failed, TestOutcome::Passed, false, false),
            (TestOutcome::Failed, TestOutcome::Failed, true, false),
            (TestOutcome::Failed, TestOutcome::Skipped, true, false),
            (TestOutcome::Passed, TestOutcome::Flaky, false, true),
        ] {
            let mut runs = vec![run(1, first, None)];
            add(&mut runs, run(2, then, None), if same { &[1] } else { &[] });
            assert_eq!(runs[0].flaky, flaky, "{first:?} {then:?} {same}");
        }
    }

    #[test]
    fn one_slow_run_of_twenty_makes_no_slow_test() {
        let mut runs = vec![run(0, TestOutcome::Passed, Some(60_000))];
        assert_eq!(typical_ms(&runs), 60_000);
        for number in 1..40 {
            add(&mut runs, run(number, TestOutcome::Passed, Some(number)), &[]);
        }
        assert_eq!(runs.len(), RUNS);
        assert_eq!(typical_ms(&runs), 37);
        assert_eq!(typical_ms(&[run(1, TestOutcome::Skipped, Some(5))]), 0);
    }
}
