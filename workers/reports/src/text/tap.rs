//! The Test Anything Protocol, versions 12 to 14: test points, subtests, directives, YAML blocks.
//!
//! Known by `TAP version 13`, or by a plan `1..3` with a numbered test point right behind it. A point must have
//! a number: other programs print lines that begin with `ok`, too.

use messages::{TestCase, TestOutcome};

use crate::Collector;
use crate::excerpt::{Excerpt, split};
use crate::place::of_path;

/// The deepest nesting of subtests; a level is four blanks.
const MAX_DEPTH: usize = 16;
/// The most cases that wait for the end of the subtest they are in.
const MAX_WAITING: usize = 10_000;
/// The longest path of subtests.
const MAX_PATH_BYTES: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Tap {
    known: Known,
    /// Points by depth that wait for the point that closes their subtest; those of depth 0 for their YAML.
    open: Vec<Vec<TestCase>>,
    waiting: usize,
    /// Where the last point is: its depth, if something may still be said about it.
    last: Option<usize>,
    said: Excerpt,
    yaml: Option<Yaml>,
    planned: Option<u64>,
    arrived: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Known {
    #[default]
    No,
    /// A plan came; a point right behind it will tell.
    Perhaps(u64),
    Yes,
}

#[derive(Debug, Default)]
struct Yaml {
    indent: usize,
    file: Option<String>,
    line: Option<u32>,
}

struct Point<'t> {
    passed: bool,
    description: &'t str,
}

impl Tap {
    pub(super) fn line(&mut self, line: &str, collector: &mut Collector) {
        if self.known != Known::Yes && !self.recognise(line, collector) {
            return;
        }
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if self.yaml.is_some() && self.in_yaml(indent, text) {
            return;
        }
        if let Some(point) = point(text) {
            self.point(indent / 4, &point, collector);
        } else if indent == 0 && version(text) {
            self.flush(collector);
            self.known = Known::Yes;
        } else if let Some(why) = text.strip_prefix("Bail out!") {
            self.flush(collector);
            let mut case = case("(bail out)", TestOutcome::Errored);
            case.message = Some(format!("Bail out!{why}"));
            collector.add(case);
        } else if let Some(count) = plan(text).filter(|_| indent == 0) {
            self.planned = Some(count);
        } else if text.starts_with("---") && indent >= 2 && self.last.is_some() {
            self.yaml = Some(Yaml { indent, ..Yaml::default() });
        } else if let Some(comment) = text.strip_prefix('#') {
            self.comment(comment);
        } else {
            self.settle();
        }
    }

    pub(super) fn finish(&mut self, collector: &mut Collector) {
        self.flush(collector);
    }

    fn recognise(&mut self, line: &str, collector: &mut Collector) -> bool {
        if version(line) {
            self.known = Known::Yes;
        } else if let Some(count) = plan(line).filter(|count| *count > 0) {
            self.known = Known::Perhaps(count);
        } else if let Known::Perhaps(count) = self.known
            && !line.starts_with('#')
        {
            if point(line).is_some() {
                self.flush(collector);
                self.known = Known::Yes;
                self.planned = Some(count);
            } else {
                self.known = Known::No;
            }
        }
        self.known == Known::Yes
    }

    fn point(&mut self, depth: usize, point: &Point<'_>, collector: &mut Collector) {
        self.settle();
        let depth = depth.min(MAX_DEPTH);
        let mut case = read(point);
        // What is deeper belongs to this point: its subtests are the tests, and it is their group.
        let children: Vec<TestCase> = self.open.drain((depth + 1).min(self.open.len())..).flatten().collect();
        self.open.resize_with(depth + 1, Vec::new);
        if depth == 0 {
            self.arrived += 1;
            self.give_top(collector);
        }
        let is_group = !children.is_empty();
        let explained = children.iter().any(|child| child.outcome.is_bad());
        let mut kept = Vec::with_capacity(children.len() + 1);
        for mut child in children {
            let path =
                if child.class.is_empty() { case.name.clone() } else { format!("{} > {}", case.name, child.class) };
            child.class = split(&path, MAX_PATH_BYTES).0.to_owned();
            kept.push(child);
        }
        if !is_group || (case.outcome.is_bad() && !explained) {
            if self.waiting < MAX_WAITING {
                self.waiting += 1;
                if let Some(level) = self.open.get_mut(depth) {
                    level.append(&mut kept);
                    level.push(case);
                    self.last = Some(depth);
                }
                return;
            }
            case.message = None;
            collector.add(case);
        }
        if let Some(level) = self.open.get_mut(depth) {
            level.append(&mut kept);
        }
        self.last = None;
    }

    /// Attaches what was said about the last point.
    fn settle(&mut self) {
        let said = std::mem::take(&mut self.said);
        self.yaml = None;
        let Some(depth) = self.last.take() else { return };
        if let Some(case) = self.open.get_mut(depth).and_then(|level| level.last_mut())
            && case.outcome != TestOutcome::Passed
            && case.message.is_none()
        {
            case.message = said.finish();
        }
    }

    /// Whether the line belongs to the YAML block.
    fn in_yaml(&mut self, indent: usize, text: &str) -> bool {
        let Some(yaml) = &mut self.yaml else { return false };
        if text.is_empty() {
            return true;
        }
        if indent < yaml.indent {
            // It was cut off.
            self.yaml = None;
            return false;
        }
        let case = self.last.and_then(|depth| self.open.get_mut(depth)).and_then(|level| level.last_mut());
        let Some(case) = case else { return true };
        if text.trim_end() == "..." && indent == yaml.indent {
            self.yaml = None;
            return true;
        }
        // Only what all producers agree on is understood; the block itself is the message.
        if let Some((key, value)) = text.split_once(':') {
            let value = value.trim().trim_matches(['\'', '"']);
            match key {
                "duration_ms" => case.duration_ms = whole_millis(value),
                "location" => (yaml.file, yaml.line) = of_path(value).unzip(),
                "file" => yaml.file = Some(value.to_owned()),
                "line" => yaml.line = value.parse().ok(),
                _ => {}
            }
        }
        if yaml.file.is_some() {
            (case.file, case.line) = (yaml.file.clone(), yaml.line);
        }
        if case.outcome.is_bad() {
            self.said.push_line(text);
        }
        true
    }

    fn comment(&mut self, text: &str) {
        let Some(case) = self.last.and_then(|depth| self.open.get_mut(depth)).and_then(|level| level.last_mut()) else {
            return;
        };
        if !case.outcome.is_bad() || text.trim_start().starts_with("Subtest:") {
            return self.settle();
        }
        // As bats says it: `# (in test file test/a.bats, line 5)`.
        if case.file.is_none()
            && let Some((_, rest)) = text.split_once("in test file ")
            && let Some((file, line)) = rest.split_once(", line ")
        {
            case.file = Some(file.to_owned());
            case.line = line.trim_end_matches([')', '\r', ' ']).parse().ok();
        }
        self.said.push_line(text.strip_prefix(' ').unwrap_or(text));
    }

    /// The points at the top are complete.
    fn give_top(&mut self, collector: &mut Collector) {
        if let Some(top) = self.open.first_mut() {
            self.waiting = self.waiting.saturating_sub(top.len());
            top.drain(..).for_each(|case| collector.add(case));
        }
    }

    /// The run is over.
    fn flush(&mut self, collector: &mut Collector) {
        self.settle();
        if let Some(planned) = self.planned.take()
            && planned > self.arrived
        {
            collector.note(&format!("the plan of a TAP output says {planned} tests, {} came", self.arrived));
        }
        self.arrived = 0;
        self.waiting = 0;
        self.open.drain(..).flatten().for_each(|case| collector.add(case));
    }
}

fn version(line: &str) -> bool {
    line.strip_prefix("TAP version ").is_some_and(|version| matches!(version.trim(), "12" | "13" | "14"))
}

/// `1..3`, perhaps with a comment.
fn plan(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("1..")?;
    let digits = rest.split([' ', '#']).next()?;
    let after = rest[digits.len()..].trim_start();
    (after.is_empty() || after.starts_with('#')).then(|| digits.parse().ok())?
}

/// `not ok 2 - description # SKIP why`.
fn point(text: &str) -> Option<Point<'_>> {
    let (passed, rest) = match text.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok ")?),
    };
    let rest = rest.trim_start_matches(' ');
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let after = &rest[digits..];
    if digits == 0 || !(after.is_empty() || after.starts_with([' ', '\t'])) {
        return None;
    }
    let description = after.trim();
    Some(Point { passed, description: description.strip_prefix("- ").unwrap_or(description) })
}

fn read(point: &Point<'_>) -> TestCase {
    let (description, directive) = directive(point.description);
    // Where a subtest opens on the point's own line.
    let name = description.trim_end().trim_end_matches('{').trim_end().replace("\\#", "#").replace("\\\\", "\\");
    let outcome = if point.passed { TestOutcome::Passed } else { TestOutcome::Failed };
    let mut case = case(&name, outcome);
    if let Some((word, why)) = directive {
        let skip = word.eq_ignore_ascii_case("skip");
        if skip || !point.passed {
            case.outcome = TestOutcome::Skipped;
            case.message = (!why.is_empty()).then(|| why.to_owned());
        }
    }
    case
}

/// Splits `description # SKIP why`.
fn directive(text: &str) -> (&str, Option<(&str, &str)>) {
    for (at, _) in text.rmatch_indices('#') {
        // An escaped one is text.
        if at > 0 && !text[..at].ends_with([' ', '\t']) {
            continue;
        }
        let rest = text[at + 1..].trim_start();
        for word in ["skip", "todo"] {
            if let Some(head) = rest.get(..word.len())
                && head.eq_ignore_ascii_case(word)
            {
                // Also `SKIPPED`.
                let why = rest[word.len()..].trim_start_matches(|c: char| c.is_alphabetic() || c == ':');
                return (&text[..at], Some((head, why.trim())));
            }
        }
        // Directives come last; nothing before this one can be one.
        break;
    }
    (text, None)
}

fn case(name: &str, outcome: TestOutcome) -> TestCase {
    let name = if name.is_empty() { "(no description)" } else { name };
    TestCase {
        suite: String::new(),
        class: String::new(),
        name: name.to_owned(),
        outcome,
        duration_ms: None,
        message: None,
        file: None,
        line: None,
    }
}

fn whole_millis(text: &str) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..=1e12).contains(&value).then(|| value.round() as u64)
}
