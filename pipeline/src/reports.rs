//! Reads where a job's test results are: patterns of files, and the word `log`.

use globset::GlobBuilder;
use messages::ReportSources;

use crate::reader::{Reader, Value};
use crate::shown::{is_plain, quoted, steers};

/// The most patterns of one job.
const MAX_PATTERNS: usize = 20;
/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 256;
/// The word for the job's own log.
const LOG: &str = "log";

/// `None` after a problem.
pub(crate) fn sources(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<ReportSources> {
    let texts = reader.texts(value, "reports")?;
    if texts.len() > MAX_PATTERNS {
        reader.problem(&value.span(), format!("reports has {} patterns, the limit is {MAX_PATTERNS}", texts.len()));
        return None;
    }
    let mut sources = ReportSources { files: Vec::new(), log: false };
    let mut fine = true;
    for (text, at) in texts {
        if text == LOG {
            sources.log = true;
            continue;
        }
        let plain = text.trim_start_matches("./").trim_start_matches('/');
        let inside = text.split('/').all(|part| !matches!(part, "" | "." | "..")) && !text.contains('\\');
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES || text.chars().any(steers) {
            let message =
                format!("a pattern of reports needs 1 to {MAX_PATTERN_BYTES} bytes and no invisible characters");
            reader.problem(&at, message);
            fine = false;
        } else if !inside {
            let message = format!("the report {} must be inside the repository", quoted(text));
            if is_plain(plain) && !plain.is_empty() && plain.split('/').all(|part| !matches!(part, "" | "." | "..")) {
                reader.problem_with(&at, message, format!("write {}", quoted(plain)));
            } else {
                reader.problem(&at, message);
            }
            fine = false;
        } else if let Err(cause) = GlobBuilder::new(text).literal_separator(true).build() {
            let message = format!("the pattern {} is not understood: {}", quoted(text), cause.kind());
            reader.problem_with(&at, message, "* is any part of a name, ** any folders, {a,b} one of two");
            fine = false;
        } else {
            sources.files.push(text.to_owned());
        }
    }
    fine.then_some(sources)
}
