//! What is wrong with a pipeline file, as an author reads it: place, message, the line itself, a remedy.
//!
//! Apart from the reading, so that the report is bounded in one place, however large and strange the
//! file is. Must not know what a key means.

use std::fmt;

use crate::FILE_NAME;
use crate::shown::{Excerpt, bounded, excerpt};

/// The most problems of one report.
pub(crate) const MAX_PROBLEMS: usize = 20;
/// The longest report stays below this, in bytes. A build's reason holds as much.
const MAX_REPORT_BYTES: usize = 4096;
/// Room that is kept for the line which tells that there is more.
const MORE_BYTES: usize = 100;
/// The longest message, in bytes.
const MAX_MESSAGE_BYTES: usize = 800;
/// The longest suggestion, in bytes.
const MAX_SUGGESTION_BYTES: usize = 400;

/// Everything that is wrong with a pipeline file. A retry does not help: the file must change.
///
/// Its text is a report for people of less than 4 KiB, without characters that steer a terminal.
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
    /// What was probably meant, or an example; may have several lines.
    pub suggestion: Option<String>,
    excerpt: Option<Excerpt>,
}

impl PipelineError {
    /// A problem of the file as a whole.
    pub(crate) fn whole(message: &str) -> Self {
        let message = bounded(message, MAX_MESSAGE_BYTES);
        Self { problems: vec![Problem { line: 0, column: 0, message, suggestion: None, excerpt: None }] }
    }
}

impl Problem {
    /// A problem at a byte of the text.
    pub(crate) fn at(text: &str, offset: usize, message: &str, suggestion: Option<&str>) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let in_line = before[start..].chars().count();
        let whole_line = text[start..].lines().next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: in_line + 1,
            message: bounded(message, MAX_MESSAGE_BYTES),
            suggestion: suggestion.map(|suggestion| bounded(suggestion, MAX_SUGGESTION_BYTES)),
            excerpt: excerpt(whole_line, in_line),
        }
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for (position, problem) in self.problems.iter().enumerate() {
            let text = problem.to_string();
            // One problem alone fits by the bounds of its parts.
            if position > 0 && written + text.len() + MORE_BYTES > MAX_REPORT_BYTES {
                let rest = self.problems.len() - position;
                return write!(f, "\n… and {rest} more");
            }
            written += text.len() + 1;
            write!(f, "{}{text}", if position > 0 { "\n" } else { "" })?;
        }
        if self.problems.len() >= MAX_PROBLEMS {
            write!(f, "\n… no more than {MAX_PROBLEMS} problems are looked for")?;
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
        if let Some(Excerpt { line, caret }) = &self.excerpt {
            let number = self.line.to_string();
            write!(f, "\n  {number} | {line}\n  {:width$} | {:caret$}^", "", "", width = number.len(), caret = *caret)?;
        }
        for line in self.suggestion.iter().flat_map(|suggestion| suggestion.lines()) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}
