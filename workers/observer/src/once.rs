//! A single look: announce the tips of now, wait until they are recorded, and report.
//!
//! Leaves the cursors alone: whoever watches later starts where the last watch ended.

use std::collections::{BTreeMap, HashMap};

use broker::Broker;
use messages::{CommitId, RefName, RepositoryName};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::announce::Desk;
use crate::error::ObserverError;
use crate::repository::Task;
use crate::{Office, Settings};

/// What a single look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnceReport {
    /// Tips that are recorded, in the order of repository and ref.
    pub announced: Vec<AnnouncedTip>,
    /// Repositories that could not be read, and why.
    pub unreadable: BTreeMap<RepositoryName, String>,
    /// Tips that the dispatcher refused, and why.
    pub refused: Vec<(AnnouncedTip, String)>,
}

/// The tip of one ref.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnnouncedTip {
    /// The repository.
    pub repository: RepositoryName,
    /// The ref.
    pub ref_name: RefName,
    /// The commit it points at.
    pub commit: CommitId,
}

/// Announces the tip of every matching ref once and returns when each is recorded or refused.
/// Repositories that cannot be read are reported and hold up nobody. When stopped it returns what was
/// announced so far.
///
/// # Errors
/// See [`ObserverError`].
pub async fn announce_tips_once(
    settings: Settings,
    broker: Broker,
    stop: CancellationToken,
) -> Result<OnceReport, ObserverError> {
    let office = Office::open(&settings, broker, stop.clone())?;
    let (mut looks, mut names) = (JoinSet::new(), HashMap::new());
    for task in office.tasks(&settings) {
        let name = task.watched.source.name.clone();
        names.insert(looks.spawn(look(task)).id(), name);
    }
    let mut report = OnceReport::default();
    let gather = async {
        while let Some(done) = looks.join_next_with_id().await {
            let (id, looked) = match done {
                Ok((id, looked)) => (id, looked),
                Err(broken) => (broken.id(), Err(format!("the look at it broke down: {broken}"))),
            };
            match (looked, names.remove(&id)) {
                (Ok((announced, refused)), _) => {
                    report.announced.extend(announced);
                    report.refused.extend(refused);
                }
                (Err(why), name) => report.unreadable.extend(name.map(|name| (name, why))),
            }
        }
    };
    office.while_listening(gather).await?;
    report.announced.sort();
    Ok(report)
}

type Looked = Result<(Vec<AnnouncedTip>, Vec<(AnnouncedTip, String)>), String>;

async fn look(task: Task) -> Looked {
    let name = task.watched.source.name.clone();
    let mut look = task.look();
    let planned = tokio::select! {
        () = task.stop.cancelled() => return Ok((Vec::new(), Vec::new())),
        planned = look.plan(None, task.bounds) => planned,
    };
    let moves = match planned {
        Ok((moves, None)) => moves,
        Ok((_, Some(trouble))) | Err(trouble) => return Err(trouble.to_string()),
    };
    let tip = |ref_name: &RefName, commit: &CommitId| AnnouncedTip {
        repository: name.clone(),
        ref_name: ref_name.clone(),
        commit: commit.clone(),
    };
    let sightings = moves.iter().flat_map(|planned| &planned.sightings);
    let mut announced: Vec<_> = sightings.map(|seen| tip(&seen.ref_name, &seen.commit)).collect();
    let (sender, receiver) = mpsc::channel(1);
    let desk =
        Desk::new(task.announcer(), look.objects.clone(), task.broker.clone(), &task.post, None, task.announce_again);
    // There is room for one, and the desk ends when the sender is gone.
    let sent = sender.try_send(moves);
    drop(sender);
    if let Err(cause) = sent {
        return Err(cause.to_string());
    }
    let refused = desk.work(receiver, &task.stop).await;
    let refused: Vec<_> = refused.into_iter().map(|(seen, why)| (tip(&seen.ref_name, &seen.commit), why)).collect();
    announced.retain(|announced| !refused.iter().any(|(refused, _)| refused == announced));
    Ok((announced, refused))
}
