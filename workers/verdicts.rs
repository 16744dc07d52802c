//! Prints each build's verdict once, as it is recorded.

use std::collections::HashSet;
use std::time::Duration;

use messages::BuildId;
use store::{BuildView, ChangeSubject, Ledger, LedgerError, State};

use crate::inspect::say;

/// Follows the ledger from now on and prints every build that gets its verdict. Ends when `stop` does.
pub(crate) async fn print_as_they_come(ledger: Ledger, stop: tokio_util::sync::CancellationToken) {
    let mut changes = ledger.changes();
    let mut seen = *changes.borrow_and_update();
    let mut printed: HashSet<BuildId> = HashSet::new();
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        if let Err(cause) = print_new(&ledger, &mut seen, &mut printed).await {
            tracing::warn!("read verdicts: {cause}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn print_new(ledger: &Ledger, seen: &mut i64, printed: &mut HashSet<BuildId>) -> Result<(), LedgerError> {
    loop {
        let changes = ledger.changes_since(*seen, 200).await?;
        let Some(last) = changes.last() else { return Ok(()) };
        *seen = last.number;
        for change in changes {
            let ChangeSubject::Build(id) = change.subject else { continue };
            let Some(build) = ledger.build(id).await? else { continue };
            if build.state != State::Done {
                // A retry opens a build again: its next verdict is news.
                printed.remove(&id);
            } else if printed.insert(id) {
                print(&build);
            }
        }
    }
}

/// One line for the build, and one for each job that is not good.
pub(crate) fn print(build: &BuildView) {
    let verdict = build.verdict.map_or("done", |verdict| verdict.as_str());
    let place = format!("{} {}", build.repository, shown(build.ref_name.short()));
    say(&format!("{verdict:<9} {place}  {}  {}{}", build.commit.short(), shown(&build.subject), duration(build)));
    if let Some(reason) = &build.reason {
        say(&indented(&reason.detail));
    }
    for job in build.jobs.iter().filter(|job| job.verdict.is_some_and(|verdict| !verdict.is_good())) {
        let verdict = job.verdict.map_or("", |verdict| verdict.as_str());
        say(&format!("          job {}: {verdict}   thump logs {}", shown(&job.name), job.id));
        if let Some(reason) = &job.reason {
            say(&indented(&reason.detail));
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("          {}", shown(line))).collect::<Vec<_>>().join("\n")
}

fn duration(build: &BuildView) -> String {
    match (build.started_at, build.finished_at) {
        (Some(start), Some(end)) => {
            let seconds = end.duration_since(start).as_secs_f64().max(0.0);
            format!("  ({seconds:.1} s)")
        }
        _ => String::new(),
    }
}

/// Text from outside as it may reach a terminal: control and direction characters are shown, not obeyed.
pub(crate) fn shown(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_subject_cannot_steer_the_terminal() {
        assert_eq!(super::shown("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
    }
}
