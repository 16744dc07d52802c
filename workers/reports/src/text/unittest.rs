//! What Python's unittest prints, verbose or not (and Django, which uses it).
//!
//! Verbose lines name every test; without them only the red ones have names and the others are counted from
//! `Ran 12 tests in 0.1s`.

use std::collections::HashSet;

use messages::{TestCase, TestOutcome};

use crate::Collector;
use crate::excerpt::Excerpt;
use crate::place::of_traceback;

/// The most names that are remembered to count the nameless.
const MAX_NAMES: usize = 20_000;
/// Not tests of their own: unittest does not count them.
const FIXTURES: [&str; 4] = ["setUpClass", "tearDownClass", "setUpModule", "tearDownModule"];

#[derive(Debug, Default)]
pub(super) struct Unittest {
    /// A test that was named and whose outcome has not come.
    begun: Option<Test>,
    state: State,
    seen: Seen,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    /// After a double line.
    Headline,
    /// After `FAIL: ...`, perhaps its description, until a single line.
    Titled(Red),
    /// Its traceback.
    Block(Red),
    /// After a single line, where `Ran 3 tests in 0.1s` may stand.
    Footline,
    /// After it, until `OK` or `FAILED (...)`.
    Ran(u64),
}

#[derive(Debug)]
struct Red {
    test: Test,
    outcome: TestOutcome,
    text: Excerpt,
    place: Option<(String, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Test {
    class: String,
    name: String,
}

/// The named ones since the last `Ran`.
#[derive(Debug, Default)]
struct Seen {
    all: HashSet<Test>,
    red: HashSet<Test>,
    skipped: u64,
}

impl Unittest {
    pub(super) fn line(&mut self, line: &str, collector: &mut Collector) {
        let (double, single) = (is_rule(line, b'='), is_rule(line, b'-'));
        self.state = match std::mem::take(&mut self.state) {
            State::Titled(red) | State::Block(red) if double => {
                self.add_red(red, collector);
                State::Headline
            }
            _ if double => State::Headline,
            State::Headline => match red_title(line) {
                Some(red) => State::Titled(red),
                None => State::Between,
            },
            State::Titled(red) if single => State::Block(red),
            State::Titled(mut red) => {
                red.text.push_line(line);
                State::Titled(red)
            }
            State::Block(red) if single => {
                self.add_red(red, collector);
                State::Footline
            }
            State::Block(mut red) => {
                if let Some(place) = of_traceback(line) {
                    red.place = Some(place);
                }
                red.text.push_line(line);
                State::Block(red)
            }
            _ if single => State::Footline,
            State::Footline => ran(line).map_or(State::Between, State::Ran),
            State::Ran(count) if line.trim().is_empty() => State::Ran(count),
            State::Ran(count) => {
                self.count(count, line, collector);
                State::Between
            }
            State::Between => {
                self.verbose(line, collector);
                State::Between
            }
        };
    }

    pub(super) fn finish(&mut self, collector: &mut Collector) {
        match std::mem::take(&mut self.state) {
            State::Titled(red) | State::Block(red) => self.add_red(red, collector),
            State::Ran(count) => self.count(count, "", collector),
            State::Between | State::Headline | State::Footline => {}
        }
        if let Some(test) = self.begun.take() {
            let message = Some("the output ends while it runs".to_owned());
            collector.add(case(test, TestOutcome::Errored, message));
        }
    }

    fn verbose(&mut self, line: &str, collector: &mut Collector) {
        if let Some((before, said)) = line.rsplit_once(" ... ") {
            let test = named(before).or_else(|| self.begun.take());
            match (test, outcome(said)) {
                (Some(test), Some((outcome, message))) => self.add(test, outcome, message, collector),
                (test, _) => self.begun = test,
            }
        } else if let Some(test) = named(line.strip_suffix(" ...").unwrap_or(line)) {
            self.begun = Some(test);
        } else if let Some((outcome, message)) = outcome(line)
            && let Some(test) = self.begun.take()
        {
            self.add(test, outcome, message, collector);
        }
    }

    fn add(&mut self, test: Test, outcome: TestOutcome, message: Option<String>, collector: &mut Collector) {
        if self.seen.all.len() < MAX_NAMES && self.seen.all.insert(test.clone()) {
            if outcome == TestOutcome::Skipped {
                self.seen.skipped += 1;
            }
            if outcome.is_bad() {
                self.seen.red.insert(test.clone());
            }
        }
        collector.add(case(test, outcome, message));
    }

    fn add_red(&mut self, red: Red, collector: &mut Collector) {
        let Red { test, outcome, text, place } = red;
        if !FIXTURES.contains(&test.name.as_str()) && self.seen.all.len() < MAX_NAMES {
            self.seen.all.insert(test.clone());
            self.seen.red.insert(test.clone());
        }
        let mut case = case(test, outcome, text.finish());
        (case.file, case.line) = place.unzip();
        collector.add(case);
    }

    /// Counts those of a run that were not named.
    fn count(&mut self, ran: u64, line: &str, collector: &mut Collector) {
        let seen = std::mem::take(&mut self.seen);
        let part = |name: &str| {
            let list = line.split_once('(').map_or("", |(_, list)| list.trim_end().trim_end_matches(')'));
            let parts = list.split(", ").filter_map(|part| part.split_once('='));
            parts.filter(|(key, _)| *key == name).find_map(|(_, count)| count.parse::<u64>().ok()).unwrap_or(0)
        };
        let nameless = ran.saturating_sub(seen.all.len() as u64);
        let skipped = part("skipped").saturating_sub(seen.skipped).min(nameless);
        let unexpected = if seen.red.len() as u64 == seen.all.len() as u64 { part("unexpected successes") } else { 0 };
        let failed = unexpected.min(nameless - skipped);
        collector.add_nameless(TestOutcome::Skipped, skipped);
        collector.add_nameless(TestOutcome::Failed, failed);
        collector.add_nameless(TestOutcome::Passed, nameless - skipped - failed);
    }
}

fn case(test: Test, outcome: TestOutcome, message: Option<String>) -> TestCase {
    let Test { class, name } = test;
    TestCase { suite: String::new(), class, name, outcome, duration_ms: None, message, file: None, line: None }
}

fn is_rule(line: &str, byte: u8) -> bool {
    line.len() == 70 && line.bytes().all(|b| b == byte)
}

/// `FAIL: test_b (tests.test_x.TestX.test_b) (i=1)`.
fn red_title(line: &str) -> Option<Red> {
    let (outcome, rest) = match line.strip_prefix("FAIL: ") {
        Some(rest) => (TestOutcome::Failed, rest),
        None => (TestOutcome::Errored, line.strip_prefix("ERROR: ")?),
    };
    // What a sub-test adds stands behind the name, and belongs into the message.
    let end = rest.find(')')?;
    let test = named(&rest[..=end])?;
    let mut text = Excerpt::default();
    let more = rest[end + 1..].trim();
    if !more.is_empty() {
        text.push_line(more);
    }
    Some(Red { test, outcome, text, place: None })
}

/// `test_a (tests.test_x.TestX)` or, since Python 3.11, `test_a (tests.test_x.TestX.test_a)`.
fn named(text: &str) -> Option<Test> {
    let (name, rest) = text.trim_start().split_once(" (")?;
    let path = rest.trim_end().strip_suffix(')')?;
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !word(name) || !path.split('.').all(|part| word(part) || part == "<locals>") {
        return None;
    }
    let class = path.strip_suffix(name).and_then(|rest| rest.strip_suffix('.')).unwrap_or(path);
    // Without a class it is some other text with a word in brackets.
    (class.contains('.') || FIXTURES.contains(&name)).then(|| Test { class: class.to_owned(), name: name.to_owned() })
}

fn outcome(said: &str) -> Option<(TestOutcome, Option<String>)> {
    Some(match said.trim_end() {
        "ok" | "expected failure" => (TestOutcome::Passed, None),
        "FAIL" => (TestOutcome::Failed, None),
        "unexpected success" => (TestOutcome::Failed, Some("it passed, and was expected to fail".to_owned())),
        "ERROR" => (TestOutcome::Errored, None),
        said => {
            let why = said.strip_prefix("skipped")?;
            if !why.is_empty() && !why.starts_with(' ') {
                return None;
            }
            let why = why.trim().trim_matches(['\'', '"']);
            (TestOutcome::Skipped, (!why.is_empty()).then(|| why.to_owned()))
        }
    })
}

/// `Ran 12 tests in 0.001s`.
fn ran(line: &str) -> Option<u64> {
    let (count, rest) = line.strip_prefix("Ran ")?.split_once(" test")?;
    let time = rest.strip_prefix('s').unwrap_or(rest).strip_prefix(" in ")?;
    time.ends_with('s').then(|| count.parse().ok())?
}
