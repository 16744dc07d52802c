//! From text to a TOML document, or to what breaks the rules of TOML.
//!
//! Apart because these problems come from the parser, in its words and its order; the ones that authors
//! meet most are told in ours. The parser bounds nesting (80 levels) by itself.

use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::problem::{MAX_PROBLEMS, PipelineError, Problem};
use crate::shown::{is_plain, quoted};

/// Reads the document. One problem per line: those behind it mostly follow from it.
pub(crate) fn document(text: &str) -> Result<Spanned<DeTable<'_>>, PipelineError> {
    let (document, mut errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(document);
    }
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut problems: Vec<Problem> = Vec::new();
    // Counted as well, since a hostile file may hold ten thousand mistakes in one line.
    for error in errors.iter().take(10 * MAX_PROBLEMS) {
        let problem = problem(text, error);
        if problems.len() < MAX_PROBLEMS && problems.last().is_none_or(|last| last.line != problem.line) {
            problems.push(problem);
        }
    }
    Err(PipelineError { problems })
}

fn problem(text: &str, error: &Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let there = text.get(span.clone()).unwrap_or_default();
    let said = error.message().lines().collect::<Vec<_>>().join(", ");
    let (message, remedy) = match said.as_str() {
        "duplicate key" if there == "job" => (
            "job is described in two ways".to_owned(),
            Some("begin each job with [[job]] and put its [job.env] below it".to_owned()),
        ),
        "duplicate key" => {
            (format!("the key {} stands here for the second time", quoted(there.trim_matches('"'))), None)
        }
        // A bare word that begins like `true` or `nan` is taken for a mistyped one of these.
        said if ["string values must be quoted", "invalid boolean", "invalid float"]
            .iter()
            .any(|start| said.starts_with(start)) =>
        {
            let remedy = if is_plain(there) {
                format!("if it is a text, write {}", quoted(there))
            } else {
                "a text stands in quotes".to_owned()
            };
            ("this value is not understood".to_owned(), Some(remedy))
        }
        said if said.starts_with("key with no value") || (said.starts_with("invalid unquoted key") && there == ":") => {
            (said.to_owned(), Some("a value is given like this: name = \"test\"".to_owned()))
        }
        said => (said.to_owned(), None),
    };
    Problem::at(text, span.start, &message, remedy.as_deref())
}
