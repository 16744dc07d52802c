//! A bare copy of a remote repository, kept up to date by the git program and read by git2.
//!
//! It is a cache: broken, it is thrown away and made anew beside the old one, which stays readable
//! until the new one is whole.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use messages::RepositoryName;
use tokio::sync::RwLock;
use tracing::{info, warn};

use crate::error::Trouble;
use crate::git_program::{self, Patience};

/// How many looks at a mirror that stays unreadable there are for each time that it is made anew.
const TRIES_PER_DOUBT: u32 = 100;
/// After so many fetches that failed in a row, although the remote answered, the copy is in doubt.
const FAILURES_TO_DOUBT: u32 = 3;
/// After so many fetches git may tidy up: each leaves a pack or loose objects behind.
const FETCHES_PER_TIDYING: u32 = 100;
const TIDYING_LIMIT: Duration = Duration::from_secs(600);
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// A folder that git2 reads. Readers hold the gate shared; whoever swaps the folder holds it alone.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    pub(crate) path: PathBuf,
    pub(crate) gate: Arc<RwLock<()>>,
}

impl Objects {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, gate: Arc::default() }
    }
}

/// How long the network may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    pub(crate) overall: Duration,
}

/// The copy of one remote.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) objects: Objects,
    url: String,
    limits: Limits,
    /// What the remote said last, as far as it was fetched.
    fetched: Option<u64>,
    /// Fetches in a row that failed although the remote answered.
    failures: u32,
    broken: bool,
    /// Looks in a row that could not read what is in it.
    doubts: u32,
    fetches: u32,
}

impl Mirror {
    pub(crate) fn new(data: &Path, name: &RepositoryName, url: String, limits: Limits) -> Self {
        let path = data.join("mirrors").join(format!("{name}.git"));
        Self {
            objects: Objects::at(path),
            url,
            limits,
            fetched: None,
            failures: 0,
            broken: false,
            doubts: 0,
            fetches: 0,
        }
    }

    /// What is in it cannot be read: the next refresh makes it anew. If that does not help, the fault is
    /// the remote's own, and another try is made only now and then.
    pub(crate) fn distrust(&mut self) {
        self.broken |= self.doubts.is_multiple_of(TRIES_PER_DOUBT);
        self.doubts = self.doubts.wrapping_add(1);
    }

    /// What is in it can be read.
    pub(crate) fn trust(&mut self) {
        self.doubts = 0;
    }

    /// Asks the remote for its refs and fetches if they differ from what was fetched last.
    pub(crate) async fn refresh(&mut self) -> Result<(), Trouble> {
        // A listing sends nothing before its end, so silence and duration have one limit.
        let patience = Patience { idle: self.limits.idle, overall: self.limits.idle };
        let arguments = ["ls-remote", "--refs", "--", &self.url, "refs/heads/*", "refs/tags/*"];
        let listing = git_program::run("ask the remote for its refs", None, &arguments, patience).await?;
        let mut hasher = DefaultHasher::new();
        listing.hash(&mut hasher);
        let listing = hasher.finish();

        let exists = self.objects.path.exists();
        if self.fetched == Some(listing) && exists && !self.broken {
            return Ok(());
        }
        let fetched = if !exists || self.broken { self.rebuild().await } else { self.fetch(&self.objects.path).await };
        match fetched {
            Ok(()) => {
                (self.fetched, self.failures, self.broken) = (Some(listing), 0, false);
                self.fetches += 1;
                if self.fetches.is_multiple_of(FETCHES_PER_TIDYING) {
                    self.tidy().await;
                }
                Ok(())
            }
            Err(trouble) => {
                // Now and then may be the network. Again and again, while the remote answers, may be the copy.
                self.failures += u32::from(!matches!(trouble, Trouble::GitTooSlow { .. }));
                if self.failures == FAILURES_TO_DOUBT && exists && !self.broken {
                    warn!(mirror = %self.objects.path.display(), %trouble, "the mirror is distrusted and made anew");
                    self.broken = true;
                }
                Err(trouble)
            }
        }
    }

    async fn fetch(&self, into: &Path) -> Result<(), Trouble> {
        let patience = Patience { idle: self.limits.idle, overall: self.limits.overall };
        let mut arguments = vec!["fetch", "--progress", "--prune", "--no-tags", "--no-write-fetch-head"];
        arguments.extend(["--no-recurse-submodules", "--no-show-forced-updates", "--", &self.url]);
        arguments.extend(REFSPECS);
        git_program::run("fetch from the remote", Some(into), &arguments, patience).await.map(|_| ())
    }

    /// Lets git pack what has gathered, if that is worth it. Unreachable commits stay for two weeks
    /// (git's `gc.pruneExpire`), so the old tip of a force-push is still there when it is asked for.
    async fn tidy(&self) {
        let arguments = ["-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"];
        let patience = Patience { idle: TIDYING_LIMIT, overall: TIDYING_LIMIT };
        if let Err(trouble) = git_program::run("tidy the mirror", Some(&self.objects.path), &arguments, patience).await
        {
            warn!(mirror = %self.objects.path.display(), %trouble, "the mirror was not tidied; it works all the same");
        }
    }

    async fn rebuild(&self) -> Result<(), Trouble> {
        let path = &self.objects.path;
        let aside = path.with_extension("new");
        let failed = |what, cause| Trouble::Mirror { what, path: path.clone(), cause };
        remove(&aside).map_err(|cause| failed("clear the place for", cause))?;
        git2::Repository::init_bare(&aside).map_err(|cause| failed("create", io::Error::other(cause)))?;
        self.fetch(&aside).await?;
        let _alone = self.objects.gate.write().await;
        remove(path).map_err(|cause| failed("remove", cause))?;
        std::fs::rename(&aside, path).map_err(|cause| failed("put in place", cause))?;
        info!(mirror = %path.display(), "mirror is made");
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
