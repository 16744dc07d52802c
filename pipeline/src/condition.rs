//! When a job belongs to a build: by branch, tag, changed paths and event. Pure, without a clock.
//!
//! Apart from the reading, because the dispatcher asks it for each commit, long after the file is fine.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use messages::{Arrival, ChangedPaths, CommitSeen, RefName};

use crate::Plan;
use crate::shown::quoted;

/// Why a commit is built, in the word of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A branch moved.
    Push,
    /// A tag appeared or moved.
    Tag,
    /// Thump saw the repository for the first time, with all that was there before.
    Initial,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 3] = [Self::Push, Self::Tag, Self::Initial];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Tag => "tag",
            Self::Initial => "initial",
        }
    }
}

/// What a commit comes with, as far as conditions ask.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'c> {
    /// The ref that led to the commit.
    pub ref_name: &'c RefName,
    /// Why it is built.
    pub event: Event,
    /// What it changed; `None` if that is not known in full, and then every path filter matches.
    pub changed: Option<&'c [String]>,
}

impl<'c> Occasion<'c> {
    /// The occasion of an announced commit.
    ///
    /// Its changed paths say little when older commits of the same move are not tested, when the whole
    /// repository is new to us, or when a tag names it: then all of it is to be tested.
    pub fn of(seen: &'c CommitSeen) -> Self {
        let event = match seen.arrival {
            _ if seen.ref_name.is_tag() => Event::Tag,
            Arrival::Initial => Event::Initial,
            Arrival::Pushed | Arrival::MovedBack => Event::Push,
        };
        let ChangedPaths { paths, truncated } = &seen.changed_paths;
        let is_known = event == Event::Push && !truncated && seen.skipped_before == 0;
        Self { ref_name: &seen.ref_name, event, changed: is_known.then_some(paths.as_slice()) }
    }
}

/// Patterns of which one must match, and patterns (written with `!`) of which none may.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    written: Vec<String>,
    wanted: GlobSet,
    unwanted: GlobSet,
    wants_all: bool,
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Patterns {}

impl Patterns {
    /// Compiles patterns. `*` and `?` stay within one part of a path, `**` crosses parts.
    pub(crate) fn new(written: Vec<String>) -> Result<Self, globset::Error> {
        let (mut wanted, mut unwanted) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut wants_all = true;
        for text in &written {
            match text.strip_prefix('!') {
                Some(text) => unwanted.add(glob(text)?),
                None => {
                    wants_all = false;
                    wanted.add(glob(text)?)
                }
            };
        }
        Ok(Self { wanted: wanted.build()?, unwanted: unwanted.build()?, wants_all, written })
    }

    fn matches(&self, text: &str) -> bool {
        (self.wants_all || self.wanted.is_match(text)) && !self.unwanted.is_match(text)
    }
}

/// One pattern, to see whether it is one.
pub(crate) fn glob(text: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()
}

/// The conditions of one job. What is `None` excludes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    pub(crate) branch: Option<Patterns>,
    pub(crate) tag: Option<Patterns>,
    pub(crate) path: Option<Patterns>,
    pub(crate) event: Option<Vec<Event>>,
}

impl When {
    /// Why the job does not belong to a build on this occasion; `None` if it does.
    pub fn excludes(&self, occasion: &Occasion<'_>) -> Option<String> {
        self.excludes_ref(occasion.ref_name).or_else(|| self.excludes_event(occasion.event)).or_else(|| {
            let (path, changed) = (self.path.as_ref()?, occasion.changed?);
            let count = changed.len();
            (!changed.iter().any(|changed| path.matches(changed)))
                .then(|| format!("none of the {count} changed paths matches when.path"))
        })
    }

    fn excludes_ref(&self, ref_name: &RefName) -> Option<String> {
        let (kind, key, patterns) = match (&self.branch, &self.tag) {
            (None, None) => return None,
            (branch, _) if ref_name.is_branch() => ("branch", "branch", branch),
            (_, tag) if ref_name.is_tag() => ("tag", "tag", tag),
            _ => ("ref", "branch or when.tag", &None),
        };
        let matches = patterns.as_ref().is_some_and(|patterns| patterns.matches(ref_name.short()));
        (!matches).then(|| format!("the {kind} {} does not match when.{key}", quoted(ref_name.short())))
    }

    fn excludes_event(&self, event: Event) -> Option<String> {
        let is_wanted = self.event.as_ref().is_none_or(|events| events.contains(&event));
        (!is_wanted).then(|| format!("the event {} is not in when.event", quoted(event.as_str())))
    }
}

impl Plan {
    /// For each job why it does not belong to a build on this occasion, or `None` if it does.
    pub fn filtered(&self, occasion: &Occasion<'_>) -> Vec<Option<String>> {
        let mut last: Option<(&Arc<When>, Option<String>)> = None;
        let mut all = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            // The members of a matrix share their conditions and stand together.
            let known = last.as_ref().filter(|(when, _)| job.when.as_ref().is_some_and(|own| Arc::ptr_eq(own, when)));
            let answer = match (known, &job.when) {
                (Some((_, answer)), _) => answer.clone(),
                (None, Some(when)) => when.excludes(occasion),
                (None, None) => None,
            };
            last = job.when.as_ref().map(|when| (when, answer.clone()));
            all.push(answer);
        }
        all
    }
}
