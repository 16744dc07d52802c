//! A fresh folder for each attempt, and nothing of it left afterwards.
//!
//! Places are numbered by slot, so that the same path comes again and caches that know paths stay
//! useful. A used one is renamed into the trash at once, which frees the place, and deleted behind the
//! scenes by `delete.rs`. Must not know: git, processes, brokers.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::delete;

/// How many used workspaces may wait for their deletion before new work waits for it too.
const TRASH_IN_FLIGHT: usize = 4;

/// The workspaces of one runner folder.
#[derive(Debug, Clone)]
pub(crate) struct Workspaces {
    root: PathBuf,
    trash: PathBuf,
    taken: Arc<Mutex<BTreeSet<usize>>>,
    deleting: Arc<Semaphore>,
}

/// The place of one attempt.
#[derive(Debug)]
pub(crate) struct Workspace {
    number: usize,
    /// Holds everything of the attempt.
    place: PathBuf,
    /// Where the commit goes. Made by the checkout.
    pub(crate) checkout: PathBuf,
    /// The job's TMPDIR.
    pub(crate) tmp: PathBuf,
}

impl Workspaces {
    /// Opens the folder and removes what a former life left. The runner's folder is locked, so nobody
    /// else uses it.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let (root, trash) = (folder.join("work"), folder.join("trash"));
        fs::create_dir_all(&trash)?;
        if fs::symlink_metadata(&root).is_ok() {
            fs::rename(&root, trash.join(unique()))?;
        }
        fs::create_dir_all(&root)?;
        empty(&trash);
        let deleting = Arc::new(Semaphore::new(TRASH_IN_FLIGHT));
        Ok(Self { root, trash, taken: Arc::default(), deleting })
    }

    /// Takes the lowest free place and empties it.
    pub(crate) fn take(&self, name: &str) -> io::Result<Workspace> {
        let number = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let number = (1..).find(|number| !taken.contains(number)).unwrap_or_default();
            taken.insert(number);
            number
        };
        let place = self.root.join(number.to_string());
        let workspace = Workspace { number, checkout: place.join(name), tmp: place.join("tmp.d"), place };
        match fs::create_dir_all(&workspace.tmp) {
            Ok(()) => Ok(workspace),
            Err(cause) => {
                self.free(number);
                Err(cause)
            }
        }
    }

    /// Removes a workspace: its place is free on return, its files are gone soon after.
    pub(crate) async fn discard(&self, workspace: Workspace) {
        let trash = self.trash.join(unique());
        if let Err(cause) = fs::rename(&workspace.place, &trash) {
            // The number stays taken: the next job must not find the files of this one.
            tracing::error!(place = %workspace.place.display(), %cause, "workspace not removed; its place is lost");
            return;
        }
        self.free(workspace.number);
        let Ok(permit) = self.deleting.clone().acquire_owned().await else { return };
        tokio::task::spawn_blocking(move || {
            remove(&trash);
            drop(permit);
        });
    }

    fn free(&self, number: usize) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Waits until the trash is empty.
    pub(crate) async fn settle(&self) {
        let all = u32::try_from(TRASH_IN_FLIGHT).unwrap_or(u32::MAX);
        drop(self.deleting.acquire_many(all).await);
    }
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn empty(trash: &Path) {
    for entry in fs::read_dir(trash).into_iter().flatten().flatten() {
        remove(&entry.path());
    }
}

fn remove(path: &Path) {
    if let Err(cause) = delete::delete(path) {
        tracing::warn!(path = %path.display(), %cause, "files of a job could not be deleted; tried again at the next start");
    }
}
