//! Prints how the tests of a build went. All of it is text from outside: shown, never obeyed.

use serde_json::Value;

use super::list;
use super::table::text;
use crate::inspect::say;

/// How many failed tests are printed, and how many lines of each message. `--json` and the API have all.
const TESTS: usize = 50;
const LINES: usize = 20;

pub(super) fn print(answer: &Value) {
    say(&format!("tests: {}", in_words(&answer["counts"])));
    let mut left = TESTS;
    for job in list(answer, "jobs") {
        for note in list(job, "notes") {
            say(&format!("{}: {}", text(&job["name"]), text(note)));
        }
        let cases: Vec<&Value> = list(job, "failed").iter().chain(list(job, "flaky")).collect();
        for case in cases.iter().take(left) {
            print_case(&text(&job["name"]), case);
        }
        if cases.len() > left {
            say(&format!("{} more: see GET /api/v1/jobs/{}/tests", cases.len() - left, text(&job["job"])));
        }
        left = left.saturating_sub(cases.len());
    }
}

fn print_case(job: &str, case: &Value) {
    let mut parts = vec![text(&case["suite"]), text(&case["class"]), text(&case["name"])];
    parts.dedup();
    parts.retain(|part| !part.is_empty());
    let place = match (text(&case["file"]), text(&case["line"])) {
        (file, _) if file.is_empty() => String::new(),
        (file, line) if line.is_empty() => format!("  ({file})"),
        (file, line) => format!("  ({file}:{line})"),
    };
    say(&format!("{}  {job}: {}{place}", text(&case["outcome"]), parts.join(" / ")));
    let message = case["message"].as_str().unwrap_or_default();
    for line in message.lines().take(LINES) {
        say(&format!("  {}", crate::verdicts::shown(line)));
    }
    let lines = message.lines().count();
    if lines > LINES {
        say(&format!("  ({} more lines)", lines - LINES));
    }
}

fn in_words(counts: &Value) -> String {
    let words = ["passed", "failed", "errored", "flaky", "skipped"];
    let said = words.iter().filter_map(|word| {
        let count = counts[*word].as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {word}"))
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { "none".to_owned() } else { said.join(", ") }
}
