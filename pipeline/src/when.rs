//! Reads the conditions of a job: lists of patterns, and of events.

use std::ops::Range;

use toml::de::DeValue;

use crate::condition::{Event, Patterns, When, glob};
use crate::keys::similar;
use crate::reader::{Reader, Value};
use crate::shown::{is_plain, quoted, steers};
use crate::table::WHEN;

/// The most patterns of one list.
const MAX_PATTERNS: usize = 100;
/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 256;

/// `None` after a problem.
pub(crate) fn when(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<When> {
    let table = reader.table(value, "when")?;
    reader.only_keys(table, WHEN, "in when");
    let mut list = |key: &str, check: fn(&str) -> Option<String>| match table.get(key) {
        None => Some(None),
        Some(value) => patterns(reader, value, &format!("when.{key}"), check).map(Some),
    };
    let (branch, tag, path) = (list("branch", of_ref), list("tag", of_ref), list("path", of_path));
    let event = match table.get("event") {
        None => Some(None),
        Some(value) => events(reader, value).map(Some),
    };
    Some(When { branch: branch?, tag: tag?, path: path?, event: event? })
}

fn patterns(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    what: &str,
    better: fn(&str) -> Option<String>,
) -> Option<Patterns> {
    let texts = list(reader, value, what)?;
    let mut fine = true;
    for (text, at) in &texts {
        if reader.is_full() {
            return None;
        }
        fine &= is_pattern(reader, text, at, better);
    }
    // What is too long is not compiled either: 64 KiB in one pattern take seconds.
    if !fine {
        return None;
    }
    let written = texts.into_iter().map(|(text, _)| text.to_owned()).collect();
    match Patterns::new(written) {
        Ok(patterns) => Some(patterns),
        Err(cause) => {
            reader.problem(&value.span(), format!("the patterns of {what} are not understood: {cause}"));
            None
        }
    }
}

/// A list that is neither empty nor too long.
fn list<'v>(reader: &mut Reader<'_>, value: &'v Value<'_>, what: &str) -> Option<Vec<(&'v str, Range<usize>)>> {
    let texts = reader.texts(value, what)?;
    let length = match value.get_ref() {
        DeValue::Array(list) => list.len(),
        _ => 0,
    };
    if length == 0 {
        reader.problem_with(&value.span(), format!("{what} is empty, so it never matches"), "leave it out");
        return None;
    }
    if length > MAX_PATTERNS {
        reader.problem(&value.span(), format!("{what} has {length} entries, the limit is {MAX_PATTERNS}"));
        return None;
    }
    (texts.len() == length).then_some(texts)
}

fn is_pattern(reader: &mut Reader<'_>, text: &str, at: &Range<usize>, better: fn(&str) -> Option<String>) -> bool {
    let plain = text.strip_prefix('!').unwrap_or(text);
    if plain.is_empty() || text.len() > MAX_PATTERN_BYTES || text.chars().any(steers) {
        let rule = format!("1 to {MAX_PATTERN_BYTES} bytes and no invisible characters");
        reader.problem(at, format!("the pattern {} is not valid: it needs {rule}", quoted(text)));
        return false;
    }
    if let Some(better) = better(plain) {
        let message = format!("the pattern {} never matches", quoted(text));
        let not = if plain.len() < text.len() { "!" } else { "" };
        let better = format!("{not}{better}");
        if is_plain(&better) {
            reader.problem_with(at, message, format!("write {}", quoted(&better)));
        } else {
            reader.problem(at, message);
        }
        return false;
    }
    match glob(plain) {
        Ok(_) => true,
        Err(cause) => {
            reader.problem(at, format!("the pattern {} is not understood: {}", quoted(text), cause.kind()));
            false
        }
    }
}

/// What was meant by a pattern that no branch or tag can match.
fn of_ref(text: &str) -> Option<String> {
    ["refs/heads/", "refs/tags/", "origin/"].iter().find_map(|start| text.strip_prefix(start)).map(str::to_owned)
}

/// What was meant by a pattern that no path of a repository can match.
fn of_path(text: &str) -> Option<String> {
    if let Some(folder) = text.strip_suffix('/') {
        return Some(format!("{}/**", folder.trim_start_matches("./").trim_start_matches('/')));
    }
    let inside = text.trim_start_matches("./").trim_start_matches('/');
    (inside != text).then(|| inside.to_owned())
}

fn events(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Vec<Event>> {
    let mut events = Vec::new();
    for (text, at) in list(reader, value, "when.event")? {
        let Some(event) = Event::ALL.into_iter().find(|event| event.as_str() == text) else {
            let words = Event::ALL.map(Event::as_str);
            let remedy = match similar(text, &words) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None => format!("there are: {}", words.map(quoted).join(", ")),
            };
            reader.problem_with(&at, format!("there is no event {}", quoted(text)), remedy);
            return None;
        };
        events.push(event);
    }
    Some(events)
}
