//! From what was known and what is there now to the commits that are new, oldest first and bounded.
//!
//! The decision what happened to each ref ([`changes`]) is a pure function; only the walk along
//! parents reads the repository. Knows no broker and no cursor file.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository, Sort};
use messages::{Arrival, CommitId, InvalidName, RefName};
use tracing::warn;

use crate::cursor::Cursor;
use crate::error::Trouble;
use crate::tips::{Tips, oid};

/// How far the short way through a move is tried before the general walk begins.
const MAX_LINE: usize = 100;

/// How much of a push is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Every commit between the old tip and the new one.
    #[default]
    EveryCommit,
    /// The new tip, and the number of commits before it.
    TipsOnly,
}

/// The bounds of one walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_commits: usize,
    pub(crate) depth: Depth,
}

impl Bounds {
    fn most(self) -> usize {
        match self.depth {
            Depth::EveryCommit => self.max_commits.max(1),
            Depth::TipsOnly => 1,
        }
    }
}

/// What becomes of the cursor when a move is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Everything up to this commit is recorded.
    Set {
        /// The ref.
        ref_name: RefName,
        /// Its tip.
        commit: CommitId,
    },
    /// The ref is gone.
    Forget {
        /// The ref.
        ref_name: RefName,
    },
}

/// One commit to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Where it was seen.
    pub ref_name: RefName,
    /// Which commit.
    pub commit: CommitId,
    /// How it came there.
    pub arrival: Arrival,
    /// Older commits of the same move that are left out.
    pub skipped_before: u64,
}

/// Commits that stand or fall together: the cursor takes the updates when all are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Move {
    /// The commits, oldest first.
    pub sightings: Vec<Sighting>,
    /// What the cursor takes then.
    pub updates: Vec<Update>,
}

/// What happened to a ref since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// The repository was never seen: the tips of all its refs.
    FirstSight(BTreeMap<RefName, Oid>),
    New(RefName, Oid),
    Moved(RefName, CommitId, Oid),
    Deleted(RefName),
}

/// What happened, those refs first that moved: what they bring is not new on a new ref.
fn changes(known: Option<&Cursor>, tips: &Tips) -> Vec<Change> {
    let Some(known) = known else { return vec![Change::FirstSight(tips.watched.clone())] };
    let (mut moved, mut new) = (Vec::new(), Vec::new());
    for (name, tip) in &tips.watched {
        match known.refs.get(name) {
            None => new.push(Change::New(name.clone(), *tip)),
            Some(old) if *old.as_str() != tip.to_string() => {
                moved.push(Change::Moved(name.clone(), old.clone(), *tip));
            }
            Some(_) => {}
        }
    }
    let gone = known.refs.keys().filter(|name| !tips.watched.contains_key(name)).cloned();
    moved.into_iter().chain(gone.map(Change::Deleted)).chain(new).collect()
}

/// Plans the announcements. A ref that cannot be walked is left out and told; the others move on.
pub(crate) fn plan(
    repository: &Repository,
    known: Option<&Cursor>,
    tips: &Tips,
    bounds: Bounds,
) -> (Vec<Move>, Vec<Trouble>) {
    let (mut moves, mut troubles) = (Vec::new(), Vec::new());
    let mut walked = BTreeSet::new();
    for change in changes(known, tips) {
        let name = match &change {
            Change::FirstSight(_) => "its refs".to_owned(),
            Change::New(name, _) | Change::Moved(name, ..) | Change::Deleted(name) => name.to_string(),
        };
        match plan_one(repository, change, known, tips, &mut walked, bounds) {
            Ok(planned) => moves.push(planned),
            Err(cause) => troubles.push(Trouble::Walk { ref_name: name, cause }),
        }
    }
    (moves, troubles)
}

fn plan_one(
    repository: &Repository,
    change: Change,
    known: Option<&Cursor>,
    tips: &Tips,
    walked: &mut BTreeSet<Oid>,
    bounds: Bounds,
) -> Result<Move, git2::Error> {
    match change {
        Change::FirstSight(refs) => first_sight(&refs),
        Change::Deleted(ref_name) => Ok(Move { sightings: Vec::new(), updates: vec![Update::Forget { ref_name }] }),
        Change::Moved(name, old, tip) => {
            let old = oid(old.as_str())?;
            walked.insert(tip);
            if !repository.odb()?.exists(old) {
                warn!(ref_name = %name, %old, %tip, "the old tip is gone, so only the new one is announced");
                return one_move(name, tip, &[tip], 0, Arrival::Pushed);
            }
            let (commits, skipped) = match straight_line(repository, tip, old)? {
                Some(line) => bounded(line, bounds),
                None => new_commits(repository, tip, &[old], bounds)?,
            };
            if commits.is_empty() {
                return one_move(name, tip, &[tip], 0, Arrival::MovedBack);
            }
            one_move(name, tip, &commits, skipped, Arrival::Pushed)
        }
        Change::New(name, tip) => {
            let mut hide = known_tips(known, tips, walked)?;
            // The tip itself is announced in any case, whoever else has it.
            if hide.contains(&tip) {
                return one_move(name, tip, &[tip], 0, Arrival::Pushed);
            }
            let odb = repository.odb()?;
            hide.retain(|known| odb.exists(*known));
            let hide: Vec<_> = hide.into_iter().collect();
            let (mut commits, skipped) = new_commits(repository, tip, &hide, bounds)?;
            if commits.is_empty() {
                commits.push(tip);
            }
            walked.insert(tip);
            one_move(name, tip, &commits, skipped, Arrival::Pushed)
        }
    }
}

/// Only tips: nobody wants a thousand builds for having named a repository.
fn first_sight(refs: &BTreeMap<RefName, Oid>) -> Result<Move, git2::Error> {
    let mut planned = Move::default();
    for (ref_name, tip) in refs {
        let commit = commit_id(*tip)?;
        planned.updates.push(Update::Set { ref_name: ref_name.clone(), commit: commit.clone() });
        let ref_name = ref_name.clone();
        planned.sightings.push(Sighting { ref_name, commit, arrival: Arrival::Initial, skipped_before: 0 });
    }
    Ok(planned)
}

fn one_move(ref_name: RefName, tip: Oid, commits: &[Oid], skipped: u64, arrival: Arrival) -> Result<Move, git2::Error> {
    let mut sightings = Vec::with_capacity(commits.len());
    for (index, commit) in commits.iter().enumerate() {
        sightings.push(Sighting {
            ref_name: ref_name.clone(),
            commit: commit_id(*commit)?,
            arrival,
            skipped_before: if index == 0 { skipped } else { 0 },
        });
    }
    Ok(Move { sightings, updates: vec![Update::Set { ref_name, commit: commit_id(tip)? }] })
}

/// Everything whose history was looked at before, or will be as part of another change of this look.
fn known_tips(known: Option<&Cursor>, tips: &Tips, walked: &BTreeSet<Oid>) -> Result<BTreeSet<Oid>, git2::Error> {
    let mut all: BTreeSet<Oid> = walked.union(&tips.unwatched).copied().collect();
    for commit in known.into_iter().flat_map(|cursor| cursor.refs.values().chain(&cursor.gone)) {
        all.insert(oid(commit.as_str())?);
    }
    Ok(all)
}

/// Commits reachable from `tip` and from none of `hide`, oldest first, and how many older ones beyond
/// the bound are left out.
fn new_commits(
    repository: &Repository,
    tip: Oid,
    hide: &[Oid],
    bounds: Bounds,
) -> Result<(Vec<Oid>, u64), git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
    walk.push(tip)?;
    for known in hide {
        walk.hide(*known)?;
    }
    let most = bounds.most();
    let (mut newest_first, mut skipped) = (Vec::new(), 0);
    for commit in walk {
        let commit = commit?;
        if newest_first.len() < most {
            newest_first.push(commit);
        } else {
            skipped += 1;
        }
    }
    newest_first.reverse();
    Ok((newest_first, skipped))
}

/// The short way for the usual push: a few commits with one parent each, down to the old tip. The
/// general walk reads some way beyond the old tip to be sure; this one reads what it returns.
fn straight_line(repository: &Repository, tip: Oid, old: Oid) -> Result<Option<Vec<Oid>>, git2::Error> {
    let (mut line, mut at) = (Vec::new(), tip);
    while at != old {
        // The end of a shallow history, or damage: the general walk knows the one and tells the other.
        let Ok(commit) = repository.find_commit(at) else { return Ok(None) };
        if commit.parent_count() != 1 || line.len() >= MAX_LINE {
            return Ok(None);
        }
        line.push(at);
        at = commit.parent_id(0)?;
    }
    line.reverse();
    Ok(Some(line))
}

/// Keeps the newest of `commits` (oldest first) within the bounds, and counts the others.
fn bounded(mut commits: Vec<Oid>, bounds: Bounds) -> (Vec<Oid>, u64) {
    let skipped = commits.len().saturating_sub(bounds.most());
    commits.drain(..skipped);
    (commits, skipped as u64)
}

/// git2's id as the messages have it.
pub(crate) fn commit_id(id: Oid) -> Result<CommitId, git2::Error> {
    id.to_string().parse().map_err(|cause: InvalidName| git2::Error::from_str(&cause.to_string()))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
