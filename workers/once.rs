//! `thump up --once`: test the current tips, print the verdicts, exit 0 or 1; 3 if there is nothing to test.

use std::collections::HashSet;

use broker::Broker;
use messages::{BuildId, Verdict};
use observer::AnnouncedTip;
use store::{BuildFilter, BuildView, Ledger, LedgerError, State};

use crate::exit::Exit;
use crate::shutdown::Shutdown;
use crate::verdicts;

/// Announces every tip once and waits for all verdicts.
pub(crate) async fn run(
    observing: observer::Settings,
    broker: Broker,
    ledger: &Ledger,
    shutdown: &Shutdown,
) -> Result<Exit, Exit> {
    let report = tokio::select! {
        report = observer::announce_tips_once(observing, broker, shutdown.drain.clone()) => report,
        () = shutdown.drain.cancelled() => return Ok(Exit::INTERRUPTED),
    };
    let report = report.map_err(|cause| Exit::failed(cause.to_string()))?;
    if report == observer::OnceReport::default() {
        // Not good: a script whose repository or pattern is mistyped must not be told that all is well.
        return Err(Exit::not_found(
            "nothing to test: no watched repository has a commit on a watched branch or tag\n  \
             try   git push, or --branch and --tag with patterns that match",
        ));
    }
    let waiting = wait_for_all(ledger, &report.announced);
    let verdicts = tokio::select! {
        verdicts = waiting => verdicts.map_err(|cause| Exit::failed(cause.to_string()))?,
        () = shutdown.drain.cancelled() => return Ok(Exit::INTERRUPTED),
    };
    let unreadable = report.unreadable.iter().map(|(repository, why)| format!("{repository}: {why}"));
    let refused = report.refused.iter().map(|(tip, why)| format!("{} {}: {why}", tip.repository, tip.commit));
    let problems: Vec<String> = unreadable.chain(refused).collect();
    if !problems.is_empty() {
        return Err(Exit::not_found(problems.join("\nerror: ")));
    }
    Ok(if verdicts.iter().all(|verdict| verdict.is_good()) { Exit::GOOD } else { Exit::NOT_GOOD })
}

/// Waits until each tip has its build's verdict, prints each once, and returns them all.
async fn wait_for_all(ledger: &Ledger, tips: &[AnnouncedTip]) -> Result<Vec<Verdict>, LedgerError> {
    let mut changes = ledger.changes();
    let mut printed: HashSet<BuildId> = HashSet::new();
    let mut verdicts = Vec::new();
    let mut open: Vec<&AnnouncedTip> = tips.iter().collect();
    loop {
        changes.borrow_and_update();
        let mut still_open = Vec::new();
        for tip in open {
            match build_of(ledger, tip).await? {
                Some(build) if build.state == State::Done => {
                    if printed.insert(build.id) {
                        verdicts::print(&build);
                    }
                    verdicts.extend(build.verdict);
                }
                _ => still_open.push(tip),
            }
        }
        if still_open.is_empty() {
            return Ok(verdicts);
        }
        open = still_open;
        if changes.changed().await.is_err() {
            return Ok(verdicts);
        }
    }
}

async fn build_of(ledger: &Ledger, tip: &AnnouncedTip) -> Result<Option<BuildView>, LedgerError> {
    let filter = BuildFilter {
        commit: Some(tip.commit.as_str().to_owned()),
        repository: Some(tip.repository.clone()),
        ref_name: Some(tip.ref_name.as_str().to_owned()),
        before: None,
        limit: 1,
    };
    Ok(ledger.builds(filter).await?.pop())
}
