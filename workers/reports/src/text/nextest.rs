//! What `cargo nextest run` prints, known by `Starting 3 tests across 2 binaries` or `Nextest run ID`.

use std::collections::HashSet;

use messages::{TestCase, TestOutcome};

use super::{millis, module_and_name};
use crate::Collector;
use crate::excerpt::Excerpt;
use crate::place::of_panic;

/// The most red tests whose output is looked for.
const MAX_RED: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct Nextest {
    /// Since its first line.
    known: bool,
    /// Until its summary: what stands between belongs to it.
    running: bool,
    /// Those that did not pass: only their output is wanted.
    red: HashSet<Name>,
    /// The last of them: newer versions show its output right below.
    last_red: Option<Name>,
    block: Option<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    binary: String,
    test: String,
}

#[derive(Debug)]
struct Block {
    name: Name,
    text: Excerpt,
    place: Option<(String, u32)>,
}

impl Nextest {
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    pub(super) fn line(&mut self, line: &str, collector: &mut Collector) {
        let text = line.trim();
        if is_start(text) {
            self.finish(collector);
            (self.known, self.running) = (true, true);
            return;
        }
        if !self.known {
            return;
        }
        if let Some(found) = status(text) {
            self.close(collector);
            let name = Name { binary: found.binary.to_owned(), test: found.test.to_owned() };
            if let Some(outcome) = found.outcome {
                let mut case = case_of(&name, outcome);
                case.duration_ms = found.duration_ms;
                if !matches!(found.word, "PASS" | "FAIL" | "FLAKY" | "SKIP" | "LEAK") && outcome.is_bad() {
                    case.message = Some(format!("nextest says {}", found.word));
                }
                collector.add(case);
                self.last_red = None;
                if !outcome.is_bad() {
                    self.red.remove(&name);
                } else if self.red.len() < MAX_RED {
                    self.red.insert(name.clone());
                    self.last_red = Some(name);
                }
            }
        } else if text.len() > 3 && text.chars().all(|c| matches!(c, '─' | '-')) {
            self.close(collector);
        } else if text.starts_with("Summary [") {
            self.close(collector);
            self.running = false;
        } else if let Some(name) = headline(text) {
            // Output and error output of one test make one message.
            if self.block.as_ref().is_none_or(|block| block.name != name) {
                self.close(collector);
                self.open(name);
            }
        } else if matches!(text, "stdout ───" | "stderr ───" | "output ───") {
            if self.block.is_none()
                && let Some(name) = self.last_red.clone()
            {
                self.open(name);
            }
        } else if let Some(block) = &mut self.block
            && !is_noise(text)
            && text != block.name.test
        {
            if block.place.is_none() {
                block.place = of_panic(line);
            }
            block.text.push_line(line.strip_prefix("    ").unwrap_or(line));
        }
    }

    pub(super) fn finish(&mut self, collector: &mut Collector) {
        self.close(collector);
        self.red.clear();
        self.last_red = None;
        self.running = false;
    }

    fn open(&mut self, name: Name) {
        self.block = Some(Block { name, text: Excerpt::default(), place: None });
    }

    fn close(&mut self, collector: &mut Collector) {
        let Some(Block { name, text, place }) = self.block.take() else { return };
        let Some(message) = text.finish().filter(|_| self.red.contains(&name)) else { return };
        let mut case = case_of(&name, TestOutcome::Failed);
        case.message = Some(message);
        (case.file, case.line) = place.unzip();
        collector.add(case);
    }
}

fn case_of(name: &Name, outcome: TestOutcome) -> TestCase {
    let (class, test) = module_and_name(&name.test);
    TestCase {
        suite: name.binary.clone(),
        class,
        name: test,
        outcome,
        duration_ms: None,
        message: None,
        file: None,
        line: None,
    }
}

fn is_start(text: &str) -> bool {
    text.starts_with("Nextest run ID ")
        || text.strip_prefix("Starting ").is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(" test") && rest.contains(" across ")
        })
}

struct Status<'t> {
    word: &'t str,
    outcome: Option<TestOutcome>,
    duration_ms: Option<u64>,
    binary: &'t str,
    test: &'t str,
}

/// `TRY 2 PASS [   0.004s] (1/3) store::stories tests::a`.
fn status(text: &str) -> Option<Status<'_>> {
    if !text.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let (words, rest) = text.split_once(" [")?;
    let (time, rest) = rest.split_once(']')?;
    let word = match words.strip_prefix("TRY ") {
        Some(tried) => tried.split_once(' ')?.1.trim(),
        None => words.trim(),
    };
    // `FLAKY 2/3`, `FLKY-FL 2/3`.
    let head = word.split(' ').next().unwrap_or(word);
    let outcome = match head {
        "PASS" | "LEAK" => Some(TestOutcome::Passed),
        "FLAKY" => Some(TestOutcome::Flaky),
        "SKIP" => Some(TestOutcome::Skipped),
        "SLOW" | "RETRY" | "DELAY" | "START" | "TERMINATING" => None,
        "XFAIL" | "EXECFAIL" => Some(TestOutcome::Errored),
        "FAIL" | "TIMEOUT" | "TMT" | "ABORT" | "LEAK-FAIL" | "LKFAIL" | "FL+LK" | "FLKY-FL" => {
            Some(TestOutcome::Failed)
        }
        signal if signal.starts_with("SIG") || signal.starts_with("TRMNTNG") => Some(TestOutcome::Failed),
        _ => return None,
    };
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        // `(1/3)`, or `(───)` for a try that is not the last.
        Some((progress, rest)) if progress.chars().all(|c| matches!(c, '0'..='9' | '/' | ' ' | '─' | '-')) => {
            rest.trim_start()
        }
        _ => rest,
    };
    let (binary, test) = rest.split_once(' ')?;
    Some(Status { word: head, outcome, duration_ms: millis(time), binary, test: test.trim() })
}

/// `──── STDOUT:             store tests::b` and, older, `--- STDOUT:              store tests::b ---`.
fn headline(text: &str) -> Option<Name> {
    let text = text.strip_prefix("───").or_else(|| text.strip_prefix("---"))?.trim_start_matches(['─', '-', ' ']);
    let text = ["STDOUT:", "STDERR:", "OUTPUT:"].iter().find_map(|head| text.strip_prefix(head))?;
    let text = text.trim().trim_end_matches(['─', '-', ' ']);
    let (binary, test) = text.split_once(' ')?;
    Some(Name { binary: binary.to_owned(), test: test.trim().to_owned() })
}

/// What the test program says about its single test.
fn is_noise(text: &str) -> bool {
    text == "running 1 test"
        || text == "failures:"
        || text.starts_with("test result: ")
        || (text.starts_with("test ") && text.contains(" ... "))
        || text.starts_with("note: run with `RUST_BACKTRACE")
}
