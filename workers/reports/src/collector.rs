//! The cases of one attempt, however many files and forms they come from, within limits.
//!
//! A test that appears more than once was repeated: red and then green is flaky, green and then red is red.
//! Red ones have room of their own, so that ten thousand green ones never crowd out the one that matters.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use messages::{MAX_TEST_CASES, MAX_TEST_NAME_BYTES, TestCase, TestOutcome, TestSummary};

use crate::excerpt::{Excerpt, split};

/// The most red and flaky cases that are kept by name.
const MAX_RED: usize = 2_000;
/// The most bytes of either kind.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// The most cases that are taken at all. Only a hostile file has more, and each costs time.
const MAX_TAKEN: usize = 100_000;
/// The most lines about what could not be read.
const MAX_NOTES: usize = 10;
const MAX_NOTE_BYTES: usize = 300;
/// The longest file name of a case.
const MAX_FILE_BYTES: usize = 300;

/// What the tests of one attempt said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestReport {
    /// About all of them.
    pub summary: TestSummary,
    /// Those that are kept by name: at most 2,000 that failed, were in error or flaky, and 8,000 others.
    pub cases: Vec<TestCase>,
}

impl TestReport {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.summary == TestSummary::default()
    }
}

/// Gathers cases. What does not fit is counted.
#[derive(Debug, Default)]
pub struct Collector {
    report: TestReport,
    places: HashMap<u64, usize>,
    red: Room,
    other: Room,
    taken: usize,
}

#[derive(Debug, Default)]
struct Room {
    cases: usize,
    bytes: usize,
}

impl Collector {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing more is taken: then reading on would only cost time.
    pub fn is_full(&self) -> bool {
        self.taken >= MAX_TAKEN
    }

    /// Takes a case.
    pub fn add(&mut self, mut case: TestCase) {
        if self.is_full() {
            return;
        }
        self.taken += 1;
        if self.is_full() {
            self.note(&format!("there are more than {MAX_TAKEN} tests; the others are not counted"));
        }
        bound(&mut case);
        let key = key_of(&case);
        if let Some(&place) = self.places.get(&key) {
            return self.repeat(place, case);
        }
        *self.count(case.outcome) += 1;
        let red = is_red(case.outcome);
        let (room, most) = if red { (&mut self.red, MAX_RED) } else { (&mut self.other, MAX_TEST_CASES - MAX_RED) };
        if room.cases < most && room.bytes + size_of(&case) > MAX_BYTES {
            // Rather its name alone than nothing.
            case.message = None;
        }
        if room.cases >= most || room.bytes + size_of(&case) > MAX_BYTES {
            self.report.summary.cut += 1;
            return;
        }
        room.cases += 1;
        room.bytes += size_of(&case);
        self.places.insert(key, self.report.cases.len());
        self.report.cases.push(case);
    }

    /// Counts tests that were not named.
    pub fn add_nameless(&mut self, outcome: TestOutcome, count: u64) {
        // What is counted here was written by a stranger, too.
        let count = count.min(1_000_000);
        *self.count(outcome) += count;
        self.report.summary.cut += count;
    }

    /// Says what could not be read.
    pub fn note(&mut self, line: &str) {
        let notes = &mut self.report.summary.notes;
        if notes.len() < MAX_NOTES {
            let line = split(line, MAX_NOTE_BYTES).0.replace(char::is_control, " ");
            if !notes.contains(&line) {
                notes.push(line);
            }
        }
    }

    /// Everything that was gathered, in the order in which it came.
    pub fn finish(self) -> TestReport {
        self.report
    }

    /// The same test again.
    fn repeat(&mut self, place: usize, new: TestCase) {
        let Some(old) = self.report.cases.get_mut(place) else { return };
        let before = old.outcome;
        let after = joined(before, new.outcome);
        let message = if is_red(new.outcome) && (new.outcome == after || old.message.is_none()) {
            new.message.or_else(|| old.message.take())
        } else {
            old.message.take()
        };
        let grown = message.as_ref().map_or(0, String::len);
        old.message = message.filter(|_| self.red.bytes + grown <= MAX_BYTES);
        self.red.bytes += old.message.as_ref().map_or(0, String::len);
        old.outcome = after;
        old.duration_ms = new.duration_ms.or(old.duration_ms);
        if new.file.is_some() {
            old.file = new.file;
            old.line = new.line;
        }
        if before != after {
            *self.count(before) -= 1;
            *self.count(after) += 1;
        }
    }

    fn count(&mut self, outcome: TestOutcome) -> &mut u64 {
        self.report.summary.counts.of_mut(outcome)
    }
}

/// What two runs of one test are together, in their order.
fn joined(first: TestOutcome, then: TestOutcome) -> TestOutcome {
    use TestOutcome::{Errored, Failed, Flaky, Passed, Skipped};
    match (first, then) {
        (Failed | Errored, Passed) => Flaky,
        (Flaky, Passed) | (_, Flaky) => Flaky,
        (Failed | Errored, Failed | Errored) => first,
        (_, Failed | Errored) => then,
        (Skipped, then) => then,
        (first, Skipped) => first,
        (Passed, Passed) => Passed,
    }
}

fn is_red(outcome: TestOutcome) -> bool {
    outcome.is_bad() || outcome == TestOutcome::Flaky
}

fn size_of(case: &TestCase) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    64 + case.suite.len() + case.class.len() + case.name.len() + text(&case.message) + text(&case.file)
}

fn key_of(case: &TestCase) -> u64 {
    // No secret is needed: who makes two names collide spoils his own report.
    let mut hasher = DefaultHasher::new();
    (&case.suite, &case.class, &case.name).hash(&mut hasher);
    hasher.finish()
}

fn bound(case: &mut TestCase) {
    for name in [&mut case.suite, &mut case.class, &mut case.name] {
        short_name(name);
    }
    if case.name.is_empty() {
        case.name = if case.class.is_empty() { "(no name)".to_owned() } else { case.class.clone() };
    }
    case.message = case.message.take().and_then(|text| Excerpt::of(&text).finish());
    case.file = case.file.take().filter(|file| !file.is_empty() && file.len() <= MAX_FILE_BYTES);
    if case.file.is_none() {
        case.line = None;
    }
}

/// A long name is cut, and keeps its own identity by a sum over the whole of it.
pub(crate) fn short_name(name: &mut String) {
    if name.contains('\0') {
        *name = name.replace('\0', "\u{fffd}");
    }
    let trimmed = name.trim();
    if trimmed.len() != name.len() {
        *name = trimmed.to_owned();
    }
    if name.len() > MAX_TEST_NAME_BYTES {
        // FNV-1a: the same on every machine and in every version, since histories hang on it.
        let sum = name.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        name.truncate(name.floor_char_boundary(MAX_TEST_NAME_BYTES - 12));
        *name = format!("{name}…{sum:08x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TestOutcome::{Errored, Failed, Flaky, Passed, Skipped};

    fn case(name: &str, outcome: TestOutcome) -> TestCase {
        let message = is_red(outcome).then(|| format!("{name} is {}", outcome.as_str()));
        TestCase {
            suite: "s".into(),
            class: String::new(),
            name: name.into(),
            outcome,
            duration_ms: None,
            message,
            file: None,
            line: None,
        }
    }

    #[test]
    fn a_repeated_test_is_one_test() {
        for (runs, expected) in [
            (&[Failed, Passed][..], Flaky),
            (&[Errored, Failed, Passed], Flaky),
            (&[Passed, Failed], Failed),
            (&[Flaky, Failed], Failed),
            (&[Failed, Failed], Failed),
            (&[Skipped, Passed], Passed),
            (&[Failed, Skipped], Failed),
            (&[Passed, Passed], Passed),
        ] {
            let mut collector = Collector::new();
            runs.iter().for_each(|outcome| collector.add(case("a", *outcome)));
            let report = collector.finish();
            assert_eq!(report.cases.len(), 1);
            assert_eq!(report.cases[0].outcome, expected, "{runs:?}");
            assert_eq!(report.cases[0].message.is_some(), is_red(expected), "{runs:?}");
            assert_eq!(report.summary.counts.total(), 1);
        }
    }

    #[test]
    fn green_ones_never_crowd_out_a_red_one_and_everything_is_counted() {
        let mut collector = Collector::new();
        (0..30_000).for_each(|number| collector.add(case(&format!("t{number}"), Passed)));
        collector.add(case("the one", Failed));
        let report = collector.finish();
        assert!(report.cases.iter().any(|case| case.name == "the one"));
        assert_eq!(report.summary.counts.total(), 30_001);
        assert_eq!(report.summary.cut + report.cases.len() as u64, 30_001);
        assert!(report.cases.len() <= MAX_TEST_CASES);
    }

    #[test]
    fn long_names_stay_apart() {
        let mut collector = Collector::new();
        let long = "x".repeat(2_000);
        collector.add(case(&format!("{long}a"), Passed));
        collector.add(case(&format!("{long}b"), Failed));
        let report = collector.finish();
        assert_eq!(report.cases.len(), 2);
        assert!(report.cases.iter().all(|case| case.name.len() <= MAX_TEST_NAME_BYTES));
    }
}
