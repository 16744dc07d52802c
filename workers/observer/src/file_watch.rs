//! Says within milliseconds that refs of a local repository may have changed.
//!
//! One system watch for all repositories, because Linux has few of them per user. It is a hint and
//! nothing more: what it misses, the slow poll finds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// What is known about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ring {
    /// A folder is new: files made in it before the system watched it went unseen, so look again soon.
    pub(crate) new_folder: bool,
    /// The watched folders themselves went away: watch anew.
    pub(crate) lost: bool,
}

#[derive(Debug, Default)]
struct Bell {
    notify: Notify,
    new_folder: AtomicBool,
    lost: AtomicBool,
}

type Routes = Arc<Mutex<HashMap<PathBuf, Arc<Bell>>>>;

/// The system watch and who is to be told.
pub(crate) struct FileWatches {
    watcher: Mutex<Option<RecommendedWatcher>>,
    routes: Routes,
}

/// One repository's share of the watch; ends when dropped.
pub(crate) struct FileWatch {
    all: Arc<FileWatches>,
    folder: PathBuf,
    bell: Arc<Bell>,
}

impl FileWatches {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { watcher: Mutex::default(), routes: Routes::default() })
    }

    /// Watches the refs below a git folder (the common one, where linked working trees keep theirs).
    pub(crate) fn watch(self: &Arc<Self>, folder: &Path) -> notify::Result<FileWatch> {
        let bell = Arc::new(Bell::default());
        lock(&self.routes).insert(folder.to_owned(), Arc::clone(&bell));
        let watch = FileWatch { all: Arc::clone(self), folder: folder.to_owned(), bell };
        let mut watcher = lock(&self.watcher);
        let watcher = match &mut *watcher {
            Some(watcher) => watcher,
            none => {
                let routes = Arc::clone(&self.routes);
                none.insert(notify::recommended_watcher(move |event| route(&routes, event))?)
            }
        };
        // The folder itself for packed-refs and HEAD; objects below it would ring without end.
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        watcher.watch(&folder.join("refs"), RecursiveMode::Recursive)?;
        Ok(watch)
    }
}

impl FileWatch {
    /// Waits for the next sign. It comes after the ref has moved: git renames a lock file over it.
    pub(crate) async fn changed(&self) -> Ring {
        self.bell.notify.notified().await;
        Ring {
            new_folder: self.bell.new_folder.swap(false, Ordering::Relaxed),
            lost: self.bell.lost.swap(false, Ordering::Relaxed),
        }
    }

    /// A way to ring this bell later.
    pub(crate) fn again(&self) -> impl FnOnce() + Send + use<> {
        let bell = Arc::clone(&self.bell);
        move || bell.notify.notify_one()
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        {
            let mut routes = lock(&self.all.routes);
            // A successor on the same folder may stand there already.
            if !routes.get(&self.folder).is_some_and(|bell| Arc::ptr_eq(bell, &self.bell)) {
                return;
            }
            routes.remove(&self.folder);
        }
        if let Some(watcher) = &mut *lock(&self.all.watcher) {
            // Folders that are gone are not watched any more, and that is what is wanted.
            drop(watcher.unwatch(&self.folder.join("refs")));
            drop(watcher.unwatch(&self.folder));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn route(routes: &Routes, event: notify::Result<Event>) {
    let routes = lock(routes);
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Events were lost: everybody looks.
        _ => {
            routes.values().for_each(|bell| bell.notify.notify_one());
            return;
        }
    };
    for (folder, bell) in routes.iter() {
        let meant = event
            .paths
            .iter()
            .filter_map(|path| path.strip_prefix(folder).ok())
            .any(|path| is_about_refs(&event.kind, path));
        if !meant {
            continue;
        }
        if event.kind == EventKind::Create(CreateKind::Folder) {
            bell.new_folder.store(true, Ordering::Relaxed);
        }
        let roots = [folder.clone(), folder.join("refs")];
        if !matches!(event.kind, EventKind::Create(_)) && event.paths.iter().any(|path| roots.contains(path)) {
            bell.lost.store(true, Ordering::Relaxed);
        }
        bell.notify.notify_one();
    }
}

/// Whether a change at `path` (below the git folder) can move a ref. Our own reading is none.
fn is_about_refs(kind: &EventKind, path: &Path) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return false,
        EventKind::Modify(notify::event::ModifyKind::Metadata(_)) => return false,
        _ => {}
    }
    if path.extension().is_some_and(|extension| extension == "lock") {
        return false;
    }
    let first = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    match first.as_deref() {
        // The folder itself: only when it goes away.
        None => matches!(kind, EventKind::Remove(_) | EventKind::Modify(notify::event::ModifyKind::Name(_))),
        Some("refs" | "packed-refs" | "HEAD") => true,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{ModifyKind, RenameMode};

    use super::*;

    #[test]
    fn only_what_can_move_a_ref_rings() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        for path in ["refs/heads/main", "packed-refs", "HEAD", "refs"] {
            assert!(is_about_refs(&renamed, Path::new(path)), "{path}");
        }
        for path in ["refs/heads/main.lock", "index", "COMMIT_EDITMSG", "packed-refs.lock", "config"] {
            assert!(!is_about_refs(&renamed, Path::new(path)), "{path}");
        }
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!is_about_refs(&opened, Path::new("refs/heads/main")));
    }
}
