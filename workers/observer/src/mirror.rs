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
}

impl Mirror {
    pub(crate) fn new(data: &Path, name: &RepositoryName, url: String, limits: Limits) -> Self {
        let path = data.join("mirrors").join(format!("{name}.git"));
        Self { objects: Objects::at(path), url, limits, fetched: None, failures: 0, broken: false }
    }

    /// What is in it cannot be read: the next refresh makes it anew.
    pub(crate) fn distrust(&mut self) {
        self.broken = true;
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
                Ok(())
            }
            Err(trouble) => {
                self.failures += 1;
                // Once may be the network. Twice, while the remote answers, may be the copy.
                if self.failures == 2 && exists {
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
