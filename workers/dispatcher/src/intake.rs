//! `CommitSeen` becomes a build with its jobs: plan, record, hand on, tell the observer, ack.
//!
//! One transaction for all that has gathered. A commit that was recorded before is recorded again
//! without effect, so a repeat is only answered. Knows nothing of runners.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use broker::{Delivery, Queue, Topic};
use messages::{
    CommitSeen, ErroredKind, ErroredReason, MessageId, ObserverName, PipelineSource, Recorded, RefusedCommit,
};
use seams::{Defect, chance, planted};
use store::{Intake, LedgerError, NewBuild, NewJob, Policy, RetryPolicy};
use tracing::{debug, error, info};

use crate::desk::Desk;
use crate::mailbox::{Mail, Mailbox, ack_all, put_aside};
use crate::term::Halt;

/// As many commits as one transaction takes at most.
const BATCH: u16 = 64;
/// The longest reason that is kept, in bytes ([`ErroredReason::detail`]).
const MAX_DETAIL_BYTES: usize = 4096;

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut mailbox = Mailbox::open(&desk.broker, Queue::Commits, BATCH);
    loop {
        match mailbox.next(&desk.stop).await? {
            Mail::Stopped => return Ok(()),
            Mail::Resumed => {}
            Mail::Batch(batch) => take_in(&desk, batch).await?,
        }
    }
}

async fn take_in(desk: &Arc<Desk>, batch: Vec<Delivery>) -> Result<(), Halt> {
    let mut commits = Vec::with_capacity(batch.len());
    for delivery in batch {
        match delivery.envelope.as_ref().map_err(Clone::clone).and_then(|envelope| envelope.open::<CommitSeen>()) {
            Ok(seen) => commits.push((delivery, seen)),
            Err(cause) => refuse(desk, delivery, &cause.to_string()).await,
        }
    }
    if commits.is_empty() {
        return Ok(());
    }
    let seen = commits.iter().map(|(_, seen)| seen.clone()).collect();
    if planted(Defect::CommitAckedBeforeLedger) {
        ack_all(std::mem::take(&mut commits).into_iter().map(|(delivery, _)| delivery)).await;
    }
    match record(desk, seen).await {
        Ok(()) => {
            ack_all(commits.into_iter().map(|(delivery, _)| delivery)).await;
            Ok(())
        }
        // One of them does not fit: it must not take the others along.
        Err(LedgerError::Inconsistent { .. }) => {
            for (delivery, seen) in commits {
                match record(desk, vec![seen]).await {
                    Ok(()) => ack_all([delivery]).await,
                    Err(cause @ LedgerError::Inconsistent { .. }) => refuse(desk, delivery, &cause.to_string()).await,
                    Err(cause) => return Err(cause.into()),
                }
            }
            Ok(())
        }
        Err(cause) => Err(cause.into()),
    }
}

/// Plans and records; afterwards the observers may forget.
async fn record(desk: &Arc<Desk>, commits: Vec<CommitSeen>) -> Result<(), LedgerError> {
    let mut answers: BTreeMap<ObserverName, Vec<MessageId>> = BTreeMap::new();
    for seen in &commits {
        answers.entry(seen.observer.clone()).or_default().push(seen.message_id());
    }
    let builds = plan_all(commits).await;
    let named: Vec<_> =
        builds.iter().map(|build| (build.seen.repository.name.clone(), build.seen.commit.clone())).collect();
    let pools: Vec<_> =
        builds.iter().flat_map(|build| build.plan.iter().flatten()).map(|job| job.pool.clone()).collect();
    let intakes = desk.ledger.record_builds(desk.epoch, builds).await?;
    // First of all: a runner may be waiting.
    {
        let mut board = desk.board();
        pools.iter().for_each(|pool| board.add_pool(pool));
    }
    desk.wake_publisher_for_new_jobs();
    for ((repository, commit), intake) in named.iter().zip(&intakes) {
        match intake {
            Intake::New(build) => info!(%repository, commit = commit.short(), %build, "commit recorded"),
            Intake::Known(build) => debug!(%repository, commit = commit.short(), %build, "commit known already"),
        }
    }
    for (observer, commits) in answers {
        desk.send(&Topic::Observer(observer), &Recorded { commits, refused: Vec::new() });
    }
    Ok(())
}

/// Planning is pure computing over text from outside: off the threads that serve everyone.
async fn plan_all(commits: Vec<CommitSeen>) -> Vec<NewBuild> {
    let small = commits.len() == 1
        && commits.iter().all(|seen| !matches!(&seen.pipeline, PipelineSource::File { text } if text.len() > 4096));
    let plan_each = |commits: Vec<CommitSeen>| commits.into_iter().map(plan).collect::<Vec<_>>();
    if small {
        return plan_each(commits);
    }
    let kept = commits.clone();
    chance::blocking(move || plan_each(commits)).await.unwrap_or_else(|_| plan_each(kept))
}

fn plan(seen: CommitSeen) -> NewBuild {
    // The text is hostile. Should it ever find a panic, its own build is errored and nobody else's.
    let planned = catch_unwind(AssertUnwindSafe(|| {
        let plan = pipeline::plan(&seen.pipeline)?;
        let filtered = plan.filtered(&pipeline::Occasion::of(&seen));
        Ok::<_, pipeline::PipelineError>((plan, filtered))
    }));
    let plan = match planned {
        Ok(Ok((plan, filtered))) => {
            Ok(plan.jobs.into_iter().zip(filtered).map(|(job, filtered)| new_job(job, filtered)).collect())
        }
        Ok(Err(cause)) => Err(cause.to_string()),
        Err(_) => {
            error!(repository = %seen.repository.name, commit = %seen.commit, "the planner panicked");
            Err("the pipeline file makes Thump's planner fail; please report it".to_owned())
        }
    };
    let plan = plan.map_err(|detail| ErroredReason { kind: ErroredKind::Pipeline, detail: cut(detail) });
    NewBuild { seen, plan }
}

fn new_job(job: pipeline::PlannedJob, filtered: Option<String>) -> NewJob {
    let pipeline::Retry { failed, timed_out, errored } = job.retry;
    let policy = Policy { allow_failure: job.allow_failure, retry: RetryPolicy { failed, timed_out, errored } };
    NewJob { name: job.name, pool: job.pool, needs: job.needs, filtered, policy, spec: job.spec }
}

fn cut(mut detail: String) -> String {
    if detail.len() > MAX_DETAIL_BYTES {
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES - 4));
        detail.push_str(" ...");
    }
    detail
}

/// Puts an announcement aside. An observer that can be made out is told, or it would announce for ever.
async fn refuse(desk: &Arc<Desk>, delivery: Delivery, why: &str) {
    if let (Some(observer), Ok(envelope)) = (observer_of(&delivery.raw), &delivery.envelope) {
        let refused = vec![RefusedCommit { id: envelope.id, why: why.to_owned() }];
        desk.send(&Topic::Observer(observer), &Recorded { commits: Vec::new(), refused });
    }
    put_aside(delivery, why).await;
}

/// The observer's name out of a body that may be wrong everywhere else.
pub(crate) fn observer_of(raw: &[u8]) -> Option<ObserverName> {
    let body: serde_json::Value = serde_json::from_slice(raw).ok()?;
    body.get("observer")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let cut = cut("ü".repeat(5000));
        assert!(cut.len() <= MAX_DETAIL_BYTES && cut.ends_with(" ..."));
    }

    #[test]
    fn a_broken_announcement_still_says_whose_it_is() {
        assert_eq!(observer_of(br#"{"observer": "eye", "commit": 7}"#), "eye".parse().ok());
        assert_eq!(observer_of(b"\xff"), None);
        assert_eq!(observer_of(br#"{"observer": "../x"}"#), None);
    }
}
