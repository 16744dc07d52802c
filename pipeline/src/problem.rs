//! What is wrong with a pipeline file, as an author reads it: place, message, the line itself, a remedy.
//!
//! The file is text from outside: what could steer a terminal or a page is shown as an escape, and the
//! whole report is bounded however large and strange the file is.

use std::fmt;

use crate::FILE_NAME;

/// The most problems of one report.
pub(crate) const MAX_PROBLEMS: usize = 20;
/// The longest excerpt of a line, in characters.
const MAX_EXCERPT_CHARS: usize = 120;
/// The longest report, in bytes.
const MAX_REPORT_BYTES: usize = 4096;

/// Everything that is wrong with a pipeline file. A retry does not help: the file must change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PipelineError {
    /// In the order of the file; at least one, at most 20.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0 if the problem is the file as a whole.
    pub line: usize,
    /// From 1, in characters; 0 if the problem is the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// The line, made harmless and cut, and where in it to point (in characters).
    excerpt: Option<(String, usize)>,
}

impl PipelineError {
    /// A problem of the file as a whole.
    pub(crate) fn whole(message: String) -> Self {
        Self { problems: vec![Problem { line: 0, column: 0, message, suggestion: None, excerpt: None }] }
    }
}

impl Problem {
    /// A problem at a byte of the text.
    pub(crate) fn at(text: &str, offset: usize, message: String, suggestion: Option<String>) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let in_line = before[start..].chars().count();
        let whole_line = text[start..].lines().next().unwrap_or_default();
        Self { line, column: in_line + 1, message, suggestion, excerpt: excerpt(whole_line, in_line) }
    }
}

/// The part of a line around the place, with the place's position in what is shown.
fn excerpt(line: &str, place: usize) -> Option<(String, usize)> {
    if line.trim().is_empty() {
        return None;
    }
    let skipped = place.saturating_sub(MAX_EXCERPT_CHARS / 2);
    let mut shown = String::new();
    let mut caret = 0;
    for (position, c) in line.chars().enumerate().skip(skipped).take(MAX_EXCERPT_CHARS) {
        if position == place {
            caret = shown.chars().count();
        }
        push_harmless(&mut shown, c);
    }
    if place >= skipped && line.chars().count() <= place {
        caret = shown.chars().count();
    }
    Some((shown, caret))
}

fn push_harmless(out: &mut String, c: char) {
    let steers = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}');
    match c {
        '\t' => out.push(' '),
        c if steers => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Text of the file as it may stand in a message: harmless and at most 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (position, c) in text.chars().enumerate() {
        if position == 60 {
            out.push('…');
            break;
        }
        push_harmless(&mut out, c);
    }
    out.push('"');
    out
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for (position, problem) in self.problems.iter().enumerate() {
            let text = problem.to_string();
            if position > 0 && written + text.len() > MAX_REPORT_BYTES - 100 {
                let rest = self.problems.len() - position;
                return write!(f, "\n… and {rest} more");
            }
            written += text.len() + 1;
            write!(f, "{}{text}", if position > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{FILE_NAME}: {}", self.message)?;
        } else {
            write!(f, "{FILE_NAME}:{}:{}: {}", self.line, self.column, self.message)?;
        }
        if let Some((line, caret)) = &self.excerpt {
            let number = self.line.to_string();
            write!(f, "\n  {number} | {line}\n  {:width$} | {:caret$}^", "", "", width = number.len(), caret = caret)?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  {suggestion}")?;
        }
        Ok(())
    }
}
