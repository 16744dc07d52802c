//! One observer per data folder: the cursors have one writer.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::ObserverError;

/// Held while the observer works; the system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(data: &Path) -> Result<Self, ObserverError> {
        let path = data.join("observer.lock");
        let failed = |cause| ObserverError::Data { path: path.clone(), cause };
        fs::create_dir_all(data).map_err(failed)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ObserverError::InUse(data.to_owned())),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_observer_on_the_same_folder_is_told_so() {
        let folder = tempfile::tempdir().expect("temp");
        let first = FolderLock::take(folder.path()).expect("free");
        let error = FolderLock::take(folder.path()).expect_err("taken");
        assert!(error.to_string().contains("another observer"), "{error}");
        drop(first);
        FolderLock::take(folder.path()).expect("free again");
    }
}
