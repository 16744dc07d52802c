//! What is known of each attempt of a parked job, with the last lines of its log.
//!
//! The lines are read from the log's file when somebody looks, not copied when the job is parked: chunks
//! of a dead runner's log can arrive after its loss was recorded. All else stands in the ledger, so it
//! outlives the file.

use messages::JobId;
use store::{AttemptView, Logs};

use crate::error::Problem;
use crate::shown::shown_log;

/// How much of a log's end is read.
const END_BYTES: u64 = 16 * 1024;
/// How many lines of it are shown, and how much of each.
const LINES: usize = 20;
const LINE_CHARS: usize = 400;

/// One attempt with the end of its log.
pub(super) struct Evidence {
    pub(super) attempt: AttemptView,
    /// How many bytes of the log are here.
    pub(super) log_bytes: u64,
    /// As a page may show them.
    pub(super) last_lines: Vec<String>,
}

pub(super) async fn gather(logs: &Logs, job: JobId, attempts: Vec<AttemptView>) -> Result<Vec<Evidence>, Problem> {
    let mut all = Vec::new();
    for attempt in attempts {
        let log_bytes = logs.state(job, attempt.number).await?.length;
        let from = log_bytes.saturating_sub(END_BYTES);
        let end = logs.read(job, attempt.number, from, usize::try_from(END_BYTES).unwrap_or(usize::MAX)).await?;
        all.push(Evidence { attempt, log_bytes, last_lines: last_lines(&end, from == 0) });
    }
    Ok(all)
}

/// The last lines of a log's end; `whole` says that nothing stands before it.
fn last_lines(end: &[u8], whole: bool) -> Vec<String> {
    let end = match end.iter().position(|byte| *byte == b'\n') {
        // The first line of a part began somewhere before it.
        Some(first) if !whole => &end[first + 1..],
        _ => end,
    };
    let text = shown_log(end);
    let lines: Vec<&str> = text.lines().collect();
    let cut = |line: &&str| match line.char_indices().nth(LINE_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => (*line).to_owned(),
    };
    lines[lines.len().saturating_sub(LINES)..].iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_few_short_and_harmless() {
        assert!(last_lines(b"", true).is_empty());
        assert_eq!(last_lines(b"one\n\x1b[31mtwo\x1b[0m\n\x07", true), ["one", "two", "\\u{7}"]);
        assert_eq!(last_lines(b"half of a line\nwhole\n", false), ["whole"]);
        assert_eq!(last_lines(b"one endless line", false), ["one endless line"]);
        let many = (0..100).map(|line| format!("{line}\n")).collect::<String>();
        let shown = last_lines(many.as_bytes(), true);
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (LINES, "80", "99"));
        let long = "é".repeat(10_000);
        assert_eq!(last_lines(long.as_bytes(), true)[0].chars().count(), LINE_CHARS + 1);
    }
}
