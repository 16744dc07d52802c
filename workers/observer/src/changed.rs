//! The names of what differs between two trees, with an end to it.
//!
//! Our own small walk instead of libgit2's diff: it stops at the cap instead of building a list of
//! everything, and a tree made to explode (few objects, billions of paths) costs a bounded time.

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};
use messages::{ChangedPaths, MAX_CHANGED_PATHS};

/// The most tree entries that are looked at.
const MAX_ENTRIES: usize = 500_000;
/// The most bytes of paths that are collected, below the limit of a message.
const MAX_PATH_BYTES: usize = 512 * 1024;
/// The longest path; deeper folders are not entered. Linux has the same limit (PATH_MAX).
const MAX_PATH: usize = 4096;

/// What `after` changed against `before`: files, links and submodules added, removed or altered.
pub(crate) fn changed_paths(
    repository: &Repository,
    before: Option<&Tree<'_>>,
    after: &Tree<'_>,
) -> Result<ChangedPaths, git2::Error> {
    let mut found = Found::default();
    if before.is_some_and(|before| before.id() == after.id()) {
        return Ok(found.paths);
    }
    // A stack of our own: the depth of a tree is the author's choice, the program's stack is not.
    let mut open = vec![(Vec::new(), before.map(Tree::id), Some(after.id()))];
    while let Some((folder, before, after)) = open.pop() {
        let read = |id: Option<Oid>| id.map(|id| repository.find_tree(id)).transpose();
        let (before, after) = (read(before)?, read(after)?);
        for pair in merge(before.as_ref(), after.as_ref()) {
            found.entries += 1;
            let path = [folder.as_slice(), &pair.name].concat();
            if found.entries > MAX_ENTRIES || path.len() > MAX_PATH {
                found.paths.truncated = true;
                return Ok(found.sorted());
            }
            if pair.is_file && !found.add(&path) {
                return Ok(found.sorted());
            }
            if pair.before_tree.is_some() || pair.after_tree.is_some() {
                open.push(([path.as_slice(), b"/"].concat(), pair.before_tree, pair.after_tree));
            }
        }
    }
    Ok(found.sorted())
}

/// An entry that differs, by its name in one folder.
struct Pair {
    name: Vec<u8>,
    /// Something that is not a folder was added, removed or altered under this name.
    is_file: bool,
    before_tree: Option<Oid>,
    after_tree: Option<Oid>,
}

/// Pairs the entries of two versions of a folder by name and leaves out those that are equal.
fn merge(before: Option<&Tree<'_>>, after: Option<&Tree<'_>>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for new in after.into_iter().flat_map(Tree::iter) {
        let old = before.and_then(|tree| tree.get_name_bytes(new.name_bytes()));
        if old.as_ref().is_some_and(|old| old.id() == new.id() && old.filemode() == new.filemode()) {
            continue;
        }
        let (before_tree, after_tree) = (old.as_ref().and_then(folder), folder(&new));
        pairs.push(Pair {
            name: new.name_bytes().to_owned(),
            is_file: after_tree.is_none() || (old.is_some() && before_tree.is_none()),
            before_tree,
            after_tree,
        });
    }
    for old in before.into_iter().flat_map(Tree::iter) {
        if after.is_some_and(|tree| tree.get_name_bytes(old.name_bytes()).is_some()) {
            continue;
        }
        let before_tree = folder(&old);
        let name = old.name_bytes().to_owned();
        pairs.push(Pair { name, is_file: before_tree.is_none(), before_tree, after_tree: None });
    }
    pairs
}

fn folder(entry: &TreeEntry<'_>) -> Option<Oid> {
    (entry.kind() == Some(ObjectType::Tree)).then(|| entry.id())
}

#[derive(Default)]
struct Found {
    paths: ChangedPaths,
    bytes: usize,
    entries: usize,
}

impl Found {
    /// Takes one more path; false when there is no room for it.
    fn add(&mut self, path: &[u8]) -> bool {
        self.bytes += path.len();
        if self.paths.paths.len() >= MAX_CHANGED_PATHS || self.bytes > MAX_PATH_BYTES {
            self.paths.truncated = true;
            return false;
        }
        let text = String::from_utf8_lossy(path);
        // A filter could not match the true name, so let every filter match.
        self.paths.truncated |= matches!(text, std::borrow::Cow::Owned(_));
        self.paths.paths.push(text.into_owned());
        true
    }

    fn sorted(mut self) -> ChangedPaths {
        self.paths.paths.sort_unstable();
        self.paths
    }
}
