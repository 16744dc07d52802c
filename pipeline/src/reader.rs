//! Walks a parsed document and gathers every problem on the way, instead of stopping at the first.
//!
//! Whoever reads a value goes on after a problem: as soon as there is one, the plan is thrown away.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::keys;
use crate::problem::{MAX_PROBLEMS, Problem};
use crate::shown::{is_plain, quoted};
use crate::table::Key;

/// A value of the document, with its place in bytes.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// The text being read, and what was found wrong with it so far.
pub(crate) struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// Notes a problem at a place.
    pub(crate) fn problem(&mut self, at: &Range<usize>, message: impl AsRef<str>) {
        self.note(at, message.as_ref(), None);
    }

    /// Notes a problem at a place, with its remedy.
    pub(crate) fn problem_with(&mut self, at: &Range<usize>, message: impl AsRef<str>, remedy: impl AsRef<str>) {
        self.note(at, message.as_ref(), Some(remedy.as_ref()));
    }

    fn note(&mut self, at: &Range<usize>, message: &str, suggestion: Option<&str>) {
        if !self.is_full() {
            self.problems.push(Problem::at(self.text, at.start, message, suggestion));
        }
    }

    /// Whether no more problems are noted. Costly searches for remedies stop here, else a hostile file
    /// could keep the dispatcher busy with them.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, at: &Range<usize>) -> usize {
        self.text.bytes().take(at.start).filter(|byte| *byte == b'\n').count() + 1
    }

    /// All problems, in the order of the file.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    /// Notes every key that is not known, with what it was probably meant to be.
    pub(crate) fn only_keys(&mut self, table: &DeTable<'_>, known: &[Key], place: &str) {
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if !known.iter().any(|key| key.name == name) && !self.is_full() {
                self.problem_with(
                    &key.span(),
                    format!("unknown key {} {place}", quoted(name)),
                    keys::remedy(name, known),
                );
            }
        }
    }

    /// A text, or a problem.
    pub(crate) fn text<'v>(&mut self, value: &'v Value<'_>, what: &str) -> Option<&'v str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            other => {
                self.problem(&value.span(), format!("{what} must be a text in quotes, this is {}", kind(other)));
                None
            }
        }
    }

    /// A list of texts with the place of each. What is none is a problem and left out.
    pub(crate) fn texts<'v>(&mut self, value: &'v Value<'_>, what: &str) -> Option<Vec<(&'v str, Range<usize>)>> {
        match value.get_ref() {
            DeValue::Array(list) => {
                let each = format!("each of {what}");
                Some(list.iter().filter_map(|item| Some((self.text(item, &each)?, item.span()))).collect())
            }
            other => {
                let message = format!("{what} must be a list of texts, this is {}", kind(other));
                match other {
                    DeValue::String(text) => {
                        let example = if is_plain(text) { quoted(text) } else { "\"…\"".to_owned() };
                        self.problem_with(&value.span(), message, format!("write {what} = [{example}]"));
                    }
                    _ => self.problem(&value.span(), message),
                }
                None
            }
        }
    }

    /// A table, or a problem.
    pub(crate) fn table<'v, 'i>(&mut self, value: &'v Value<'i>, what: &str) -> Option<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.problem(&value.span(), format!("{what} must be a table, this is {}", kind(other)));
                None
            }
        }
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
