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

/// Beside the checkout, whose name is the repository's: no repository's name begins with a dot.
const TMP: &str = ".tmp";

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
        let deleting = Arc::new(Semaphore::new(TRASH_IN_FLIGHT));
        let workspaces = Self { root, trash, taken: Arc::default(), deleting };
        workspaces.toss(&workspaces.root)?;
        fs::create_dir_all(&workspaces.root)?;
        // Listed now and deleted behind the scenes: it may be much, and nothing waits for it.
        let old: Vec<PathBuf> = fs::read_dir(&workspaces.trash)?.flatten().map(|entry| entry.path()).collect();
        tokio::task::spawn_blocking(move || old.iter().for_each(|path| remove(path)));
        Ok(workspaces)
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
        let workspace = Workspace { number, checkout: place.join(name), tmp: place.join(TMP), place };
        // A job of the same user may have left something there on purpose.
        let made = self.toss(&workspace.place).and_then(|old| {
            fs::create_dir(&workspace.place)?;
            fs::create_dir(&workspace.tmp)?;
            Ok(old)
        });
        match made {
            Ok(old) => {
                if let Some(old) = old {
                    tokio::task::spawn_blocking(move || remove(&old));
                }
                Ok(workspace)
            }
            Err(cause) => {
                self.free(number);
                Err(cause)
            }
        }
    }

    /// Removes a workspace: its place is free on return, its files are gone soon after.
    pub(crate) async fn discard(&self, workspace: Workspace) {
        let tossed = match self.toss(&workspace.place) {
            Ok(tossed) => tossed,
            Err(cause) => {
                // The number stays taken: the next job must not find the files of this one.
                tracing::error!(place = %workspace.place.display(), %cause, "workspace not removed; its place is lost");
                return;
            }
        };
        self.free(workspace.number);
        let (Some(tossed), Ok(permit)) = (tossed, self.deleting.clone().acquire_owned().await) else { return };
        tokio::task::spawn_blocking(move || {
            remove(&tossed);
            drop(permit);
        });
    }

    /// Moves what is at `place`, if anything, into the trash, and gives its path there.
    fn toss(&self, place: &Path) -> io::Result<Option<PathBuf>> {
        let tossed = self.trash.join(unique());
        let moved = fs::rename(place, &tossed).or_else(|cause| match cause.kind() {
            // A folder without the right to write into it cannot move to another parent.
            io::ErrorKind::PermissionDenied => {
                delete::unlock(place)?;
                fs::rename(place, &tossed)
            }
            _ => Err(cause),
        });
        match moved {
            Ok(()) => Ok(Some(tossed)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Whether a place could be made: makes one that no attempt uses, and takes it away again.
    pub(crate) fn trial(&self) -> io::Result<()> {
        let place = self.root.join("trial");
        fs::create_dir(&place).or_else(|cause| match cause.kind() {
            // Left by a trial that was interrupted.
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(cause),
        })?;
        fs::remove_dir(&place)
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

fn remove(path: &Path) {
    if let Err(cause) = delete::delete(path) {
        tracing::warn!(path = %path.display(), %cause, "files of a job could not be deleted; tried again at the next start");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[tokio::test]
    async fn a_job_that_locks_or_moves_its_workspace_takes_no_place_away() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let outside = tempfile::tempdir().expect("temporary folder");
        fs::write(outside.path().join("keep"), "x").expect("writes");
        let workspaces = Workspaces::open(folder.path()).expect("opens");
        for act in 0..3 {
            let workspace = workspaces.take("name").expect("takes");
            assert_eq!(workspace.number, 1);
            assert_eq!(fs::read_dir(&workspace.place).expect("reads").count(), 1, "nothing but the folder for tmp");
            match act {
                0 => {
                    fs::set_permissions(&workspace.place, fs::Permissions::from_mode(0o000)).expect("changes the mode");
                }
                1 => fs::rename(&workspace.place, folder.path().join("moved")).expect("moves"),
                _ => {
                    fs::remove_dir_all(&workspace.place).expect("removes");
                    symlink(outside.path(), &workspace.place).expect("links");
                }
            }
            workspaces.discard(workspace).await;
        }
        fs::create_dir(folder.path().join("work/1")).expect("plants");
        fs::write(folder.path().join("work/1/planted"), "x").expect("plants");
        let workspace = workspaces.take("name").expect("takes");
        assert!(!workspace.place.join("planted").exists());
        workspaces.settle().await;
        assert!(outside.path().join("keep").exists());
    }
}
