//! What `cargo test` prints (libtest), known by its line `running 3 tests`.

use messages::{TestCase, TestOutcome};

use super::{millis, module_and_name};
use crate::Collector;
use crate::excerpt::Excerpt;
use crate::place::of_panic;

#[derive(Debug, Default)]
pub(super) struct Libtest {
    /// The program that runs, as cargo announced it.
    suite: String,
    running: bool,
    /// A test that began and whose outcome comes on a later line, because it printed something itself.
    begun: Option<String>,
    block: Option<Block>,
}

/// What one failed test printed.
#[derive(Debug)]
struct Block {
    name: String,
    text: Excerpt,
    place: Option<(String, u32)>,
}

impl Libtest {
    pub(super) fn line(&mut self, line: &str, collector: &mut Collector) {
        if let Some(suite) = announced(line) {
            self.close(collector);
            self.begun = None;
            self.suite = suite;
            return;
        }
        if is_start(line) {
            self.close(collector);
            self.begun = None;
            self.running = true;
            return;
        }
        if !self.running {
            return;
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            self.close(collector);
            let name = name.strip_suffix(" stdout").or_else(|| name.strip_suffix(" stderr")).unwrap_or(name);
            self.block = Some(Block { name: name.to_owned(), text: Excerpt::default(), place: None });
        } else if line.starts_with("test result: ") {
            self.close(collector);
            self.begun = None;
            self.running = false;
        } else if matches!(line, "failures:" | "successes:") {
            self.close(collector);
        } else if let Some(block) = &mut self.block {
            if block.place.is_none() {
                block.place = of_panic(line);
            }
            block.text.push_line(line);
        } else if let Some((name, rest)) = test_line(line) {
            match outcome(rest) {
                Some(outcome) => self.add(name, outcome, rest, collector),
                None => self.begun = Some(name.to_owned()),
            }
        } else if let Some(outcome) = outcome(line)
            && let Some(name) = self.begun.take()
        {
            self.add(&name, outcome, line, collector);
        }
    }

    pub(super) fn finish(&mut self, collector: &mut Collector) {
        self.close(collector);
        if let Some(name) = self.begun.take() {
            let mut case = self.case(&name, TestOutcome::Errored);
            case.message = Some("the output ends while it runs".to_owned());
            collector.add(case);
        }
    }

    fn add(&mut self, name: &str, outcome: TestOutcome, rest: &str, collector: &mut Collector) {
        self.begun = None;
        let mut case = self.case(name, outcome);
        case.duration_ms = rest.rsplit_once(" <").and_then(|(_, time)| millis(time.strip_suffix('>')?));
        if outcome == TestOutcome::Skipped {
            case.message = rest.strip_prefix("ignored, ").map(str::to_owned);
        }
        collector.add(case);
    }

    /// The failed test is known already; now it is known why.
    fn close(&mut self, collector: &mut Collector) {
        let Some(Block { name, text, place }) = self.block.take() else { return };
        let mut case = self.case(&name, TestOutcome::Failed);
        case.message = text.finish();
        (case.file, case.line) = place.unzip();
        collector.add(case);
    }

    fn case(&self, name: &str, outcome: TestOutcome) -> TestCase {
        let (class, name) = module_and_name(name.strip_suffix(" - should panic").unwrap_or(name));
        TestCase {
            suite: self.suite.clone(),
            class,
            name,
            outcome,
            duration_ms: None,
            message: None,
            file: None,
            line: None,
        }
    }
}

/// `     Running unittests src/lib.rs (target/debug/deps/store-0123456789abcdef)` and `   Doc-tests store`.
fn announced(line: &str) -> Option<String> {
    let text = line.trim_start();
    if text.len() == line.len() {
        return None;
    }
    if let Some(name) = text.strip_prefix("Doc-tests ") {
        return Some(format!("{} (doc)", name.trim()));
    }
    let (what, program) = text.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once(" (")?;
    let program = program.rsplit(['/', '\\']).next().unwrap_or(program);
    // Cargo adds a hash that differs from machine to machine.
    let program = match program.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => name,
        _ => program.strip_suffix(".exe").unwrap_or(program),
    };
    let source = what.strip_prefix("unittests ").unwrap_or(what).trim();
    Some(format!("{program} ({source})"))
}

fn is_start(line: &str) -> bool {
    let count =
        line.strip_prefix("running ").and_then(|rest| rest.strip_suffix(" tests").or(rest.strip_suffix(" test")));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

fn test_line(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("test ")?;
    rest.split_once(" ... ").or_else(|| Some((rest.trim_end().strip_suffix(" ...")?, "")))
}

fn outcome(text: &str) -> Option<TestOutcome> {
    let word = text.split([' ', ',']).next().unwrap_or_default();
    let rest = &text[word.len()..];
    let ends = rest.is_empty() || rest.starts_with(" <") || rest.starts_with(" (");
    match word {
        "ok" if ends => Some(TestOutcome::Passed),
        "FAILED" if ends => Some(TestOutcome::Failed),
        "ignored" if ends || rest.starts_with(", ") => Some(TestOutcome::Skipped),
        "bench:" => Some(TestOutcome::Passed),
        _ => None,
    }
}
