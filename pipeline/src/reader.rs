//! Walks a parsed document and gathers every problem on the way, instead of stopping at the first.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{MAX_PROBLEMS, Problem, quoted};

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
    pub(crate) fn problem(&mut self, at: &Range<usize>, message: impl Into<String>, suggestion: Option<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::at(self.text, at.start, message.into(), suggestion));
        }
    }

    /// All problems, in the order of the file.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    /// Notes every key that is not known, with the known one that it resembles.
    pub(crate) fn only_keys(&mut self, table: &DeTable<'_>, known: &[&str], place: &str) {
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let suggestion = similar(name, known).map(|meant| format!("did you mean \"{meant}\"?"));
                let suggestion = suggestion.or_else(|| Some(format!("known keys: {}", known.join(", "))));
                self.problem(&key.span(), format!("unknown key {} {place}", quoted(name)), suggestion);
            }
        }
    }

    /// A text, or a problem.
    pub(crate) fn text<'v>(&mut self, value: &'v Spanned<DeValue<'_>>, what: &str) -> Option<&'v str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            other => {
                self.problem(&value.span(), format!("{what} must be a text in quotes, this is {}", kind(other)), None);
                None
            }
        }
    }

    /// A list of texts with the place of each, or a problem.
    pub(crate) fn texts<'v>(
        &mut self,
        value: &'v Spanned<DeValue<'_>>,
        what: &str,
    ) -> Option<Vec<(&'v str, Range<usize>)>> {
        let list = match value.get_ref() {
            DeValue::Array(list) => list,
            other => {
                let example = matches!(other, DeValue::String(_)).then(|| format!("write {what} = [\"…\"]"));
                self.problem(
                    &value.span(),
                    format!("{what} must be a list of texts, this is {}", kind(other)),
                    example,
                );
                return None;
            }
        };
        let mut texts = Vec::new();
        for item in list.iter() {
            texts.push((self.text(item, &format!("each of {what}"))?, item.span()));
        }
        Some(texts)
    }

    /// A table, or a problem.
    pub(crate) fn table<'v, 'i>(&mut self, value: &'v Spanned<DeValue<'i>>, what: &str) -> Option<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.problem(&value.span(), format!("{what} must be a table, this is {}", kind(other)), None);
                None
            }
        }
    }
}

/// The known name that a mistyped one resembles.
pub(crate) fn similar<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > 100 {
        return None;
    }
    let best =
        known.iter().map(|known| (strsim::jaro_winkler(name, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then_some(best.1)
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
