//! Deletes a tree that a hostile job has made.
//!
//! Everything is relative to an open folder and no link is followed, so a link planted during the
//! deletion leads nowhere. Folders without rights get them first; a tree deeper than [`MAX_DEPTH`] is
//! taken apart, so that neither the stack nor the descriptors run out.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// How many folders are open at once.
const MAX_DEPTH: usize = 64;

/// Deletes `path`, whatever it is. One that is missing is fine.
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("a root cannot be deleted"));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(CWD, parent, flags, Mode::empty())?;
    let name = CString::new(name.as_bytes())?;
    let mut work = Deletion { top: top.as_fd(), moved: 0, pending: vec![name.clone()], base: name };
    while let Some(name) = work.pending.pop() {
        work.remove(top.as_fd(), &name, 0)?;
    }
    Ok(())
}

/// Gives the owner every right to a folder. A link is refused.
pub(crate) fn unlock(path: &Path) -> io::Result<()> {
    open_folder(CWD, &CString::new(path.as_os_str().as_bytes())?).map(drop)
}

struct Deletion<'a> {
    /// Where deep subtrees are moved to.
    top: BorrowedFd<'a>,
    base: CString,
    moved: usize,
    pending: Vec<CString>,
}

impl Deletion<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(cause) => return Err(cause.into()),
        }
        let folder = open_folder(parent, name)?;
        if depth >= MAX_DEPTH {
            self.moved += 1;
            let beside = CString::new(format!("{}.{}", self.base.to_string_lossy(), self.moved))?;
            renameat(parent, name, self.top, &beside)?;
            self.pending.push(beside);
            return Ok(());
        }
        // A second look finds what was skipped because the folder changed under the first.
        for _ in 0..3 {
            let entries: Vec<CString> = Dir::read_from(&folder)?
                .filter_map(Result::ok)
                .map(|entry| entry.file_name().to_owned())
                .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
                .collect();
            for entry in entries {
                self.remove(folder.as_fd(), &entry, depth + 1)?;
            }
            match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::NOTEMPTY) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Err(Errno::NOTEMPTY.into())
    }
}

/// Opens a folder that may forbid it, and makes it writable.
fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    // O_PATH needs no right to the folder itself, and pins what the next lines speak of.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let pinned = openat(parent, name, flags, Mode::empty())?;
    let mode = fstat(&pinned)?.st_mode;
    if FileType::from_raw_mode(mode) == FileType::Directory && mode & 0o700 != 0o700 {
        // chmod on a descriptor opened with O_PATH is refused; its name in /proc is the same folder.
        chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), Mode::RWXU)?;
    }
    Ok(openat(&pinned, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_tree_without_rights_is_deleted() {
        // As the runner is: then /proc belongs to root, and must still do for our own descriptors.
        let hidden = rustix::process::DumpableBehavior::NotDumpable;
        rustix::process::set_dumpable_behavior(hidden).expect("hides itself");
        let folder = tempfile::tempdir().expect("temporary folder");
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).expect("creates");
        fs::write(tree.join("a/b/file"), "x").expect("writes");
        for locked in ["a/b/file", "a/b/c", "a/b", "a", ""] {
            fs::set_permissions(tree.join(locked), fs::Permissions::from_mode(0o000)).expect("changes the mode");
        }
        delete(&tree).expect("deletes");
        assert!(fs::symlink_metadata(&tree).is_err());
    }

    #[test]
    fn what_a_link_points_to_stays() {
        let outside = tempfile::tempdir().expect("temporary folder");
        fs::write(outside.path().join("keep"), "x").expect("writes");
        let folder = tempfile::tempdir().expect("temporary folder");
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).expect("creates");
        symlink(outside.path(), tree.join("link")).expect("links");
        symlink(outside.path(), folder.path().join("top")).expect("links");
        delete(&tree).expect("deletes");
        delete(&folder.path().join("top")).expect("deletes");
        assert!(outside.path().join("keep").exists());
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0);
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_deleted() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut at = openat(CWD, folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opens");
        rustix::fs::mkdirat(&at, c"tree", Mode::RWXU).expect("creates");
        at = openat(&at, c"tree", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opens");
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, c"d", Mode::RWXU).expect("creates");
            at = openat(&at, c"d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opens");
        }
        drop(at);
        delete(&folder.path().join("tree")).expect("deletes");
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0);
    }

    #[test]
    fn what_is_not_there_needs_no_deletion() {
        let folder = tempfile::tempdir().expect("temporary folder");
        delete(&folder.path().join("nothing")).expect("is fine");
    }
}
