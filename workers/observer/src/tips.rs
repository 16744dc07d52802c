//! Which refs a repository has now and which commits they point at.
//!
//! Reads refs only; what became of them since the last look is the business of `walk`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use git2::{ErrorCode, Oid, Repository};
use globset::{Glob, GlobSet, GlobSetBuilder};
use messages::RefName;
use tracing::{debug, warn};

use crate::cursor::Cursor;
use crate::error::{ObserverError, Trouble};

/// The most names of unusable refs that are remembered, so that each is told once.
const MAX_TOLD: usize = 1000;

/// Which branches and tags are watched.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    branches: GlobSet,
    tags: GlobSet,
}

impl Patterns {
    pub(crate) fn new(branches: &[String], tags: &[String]) -> Result<Self, ObserverError> {
        Ok(Self { branches: globs(branches)?, tags: globs(tags)? })
    }

    pub(crate) fn watch(&self, name: &RefName) -> bool {
        let text = name.as_str();
        match (text.strip_prefix("refs/heads/"), text.strip_prefix("refs/tags/")) {
            (Some(branch), _) => self.branches.is_match(branch),
            (_, Some(tag)) => self.tags.is_match(tag),
            _ => false,
        }
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, ObserverError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // `*` also matches '/', so that "*" means every branch, as in git's own ref patterns for fetch.
        let glob = Glob::new(pattern)
            .map_err(|cause| ObserverError::Pattern { pattern: pattern.clone(), why: cause.kind().to_string() })?;
        set.add(glob);
    }
    set.build().map_err(|cause| ObserverError::Pattern { pattern: patterns.join(", "), why: cause.to_string() })
}

/// The tips at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tips {
    /// Watched refs and their commits.
    pub(crate) watched: BTreeMap<RefName, Oid>,
    /// Tips of branches that are not watched: what they hold is not new on a new branch.
    pub(crate) unwatched: BTreeSet<Oid>,
}

/// Reads tips and remembers what cannot change: which commit a tag object stands for.
#[derive(Debug)]
pub(crate) struct TipReader {
    patterns: Patterns,
    peeled: HashMap<Oid, Option<Oid>>,
    told: BTreeSet<Vec<u8>>,
}

impl TipReader {
    pub(crate) fn new(patterns: Patterns) -> Self {
        Self { patterns, peeled: HashMap::new(), told: BTreeSet::new() }
    }

    /// Reads all refs. A ref of `known` that seems gone is looked up by its name as well, because a
    /// listing that meets `git pack-refs` half-way can miss it.
    pub(crate) fn read(&mut self, repository: &Repository, known: Option<&Cursor>) -> Result<Tips, Trouble> {
        let mut tips = Tips::default();
        let mut before = std::mem::take(&mut self.peeled);
        for reference in repository.references().map_err(Trouble::Refs)? {
            let reference = reference.map_err(Trouble::Refs)?;
            let bytes = reference.name_bytes();
            if !bytes.starts_with(b"refs/heads/") && !bytes.starts_with(b"refs/tags/") {
                continue;
            }
            let Some(name) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<RefName>().ok()) else {
                self.tell(bytes, "its name is longer than 1024 bytes or not plain UTF-8 text: rename it");
                continue;
            };
            let watched = self.patterns.watch(&name);
            if !watched && name.is_tag() {
                continue;
            }
            let Some(commit) = self.commit_of(&reference, &mut before) else { continue };
            if watched {
                tips.watched.insert(name, commit);
            } else {
                tips.unwatched.insert(commit);
            }
        }
        for (name, recorded) in known.into_iter().flat_map(|cursor| &cursor.refs) {
            if tips.watched.contains_key(name) || !self.patterns.watch(name) {
                continue;
            }
            let now = match repository.find_reference(name.as_str()) {
                Ok(reference) => self.commit_of(&reference, &mut before),
                Err(cause) if cause.code() == ErrorCode::NotFound => continue,
                Err(cause) => {
                    self.tell(name.as_str().as_bytes(), cause.message());
                    None
                }
            };
            // There, but unreadable (a file of length 0 after a power cut, a lost object): as it was.
            let now = now.map_or_else(|| oid(recorded.as_str()), Ok).map_err(Trouble::Refs)?;
            tips.watched.insert(name.clone(), now);
        }
        Ok(tips)
    }

    /// The commit a ref stands for; `None` for tags of files and folders, and for dangling refs.
    fn commit_of(&mut self, reference: &git2::Reference<'_>, before: &mut HashMap<Oid, Option<Oid>>) -> Option<Oid> {
        let peel = || match reference.peel_to_commit() {
            Ok(commit) => Some(commit.id()),
            Err(cause) => {
                let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
                debug!(ref_name = %name, why = cause.message(), "ref stands for no commit");
                None
            }
        };
        let Some(target) = reference.target() else { return peel() };
        let commit = match before.get(&target) {
            Some(Some(commit)) => Some(*commit),
            // What was missing may have come, so only what was found is remembered.
            _ => peel(),
        };
        self.peeled.insert(target, commit);
        commit
    }

    fn tell(&mut self, name: &[u8], why: &str) {
        if self.told.len() < MAX_TOLD && self.told.insert(name.to_owned()) {
            warn!(ref_name = %String::from_utf8_lossy(name), why, "ref is not watched");
        }
    }
}

/// Reads an object id as git2 has it.
pub(crate) fn oid(hex: &str) -> Result<Oid, git2::Error> {
    Oid::from_str(hex)
}
