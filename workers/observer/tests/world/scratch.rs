//! Real repositories in temporary folders, made with git2, with verbs short enough for stories.
#![allow(dead_code, unreachable_pub, reason = "shared by test programs that each use a part of these verbs")]

use std::path::{Path, PathBuf};
use std::process::Command;

use git2::{Oid, Repository, Signature, Time};
use messages::CommitId;
use tempfile::TempDir;

/// A repository that is gone when it is dropped.
pub struct Scratch {
    folder: TempDir,
    pub path: PathBuf,
    pub repository: Repository,
}

impl Scratch {
    pub fn bare() -> Self {
        let folder = TempDir::with_prefix("observer-test-").expect("a temporary folder");
        let path = folder.path().canonicalize().expect("a real path").join("repo.git");
        let repository = Repository::init_bare(&path).expect("a new repository");
        Self { folder, path, repository }
    }

    pub fn with_working_tree() -> Self {
        let folder = TempDir::with_prefix("observer-test-").expect("a temporary folder");
        let path = folder.path().canonicalize().expect("a real path").join("work");
        let repository = Repository::init(&path).expect("a new repository");
        Self { folder, path, repository }
    }

    /// A folder beside the repository, for clones and the like.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// A tree with these files; a path may have folders in it.
    pub fn tree(&self, files: &[(&str, &str)]) -> Oid {
        let mut index = git2::Index::new().expect("an index");
        let modes = files.iter().map(|(path, content)| (*path, content.as_bytes(), 0o100_644));
        for (path, content, mode) in modes {
            index.add(&self.entry(path.as_bytes(), content, mode)).expect("an entry");
        }
        index.write_tree_to(&self.repository).expect("a tree")
    }

    fn entry(&self, path: &[u8], content: &[u8], mode: u32) -> git2::IndexEntry {
        let zero = git2::IndexTime::new(0, 0);
        let id = self.repository.blob(content).expect("a blob");
        git2::IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id,
            flags: 0,
            flags_extended: 0,
            path: path.to_owned(),
        }
    }

    /// A tree with one entry of any mode, and this content.
    pub fn tree_of(&self, name: &str, content: &[u8], mode: i32) -> Oid {
        let id = self.repository.blob(content).expect("a blob");
        self.tree_with(name, id, mode)
    }

    pub fn tree_with(&self, name: &str, id: Oid, mode: i32) -> Oid {
        let mut builder = self.repository.treebuilder(None).expect("a builder");
        builder.insert(name, id, mode).expect("an entry");
        builder.write().expect("a tree")
    }

    /// A commit that no ref points at yet.
    pub fn loose_commit(&self, tree: Oid, parents: &[&CommitId], message: &str) -> CommitId {
        let parents: Vec<_> =
            parents.iter().map(|id| self.repository.find_commit(oid(id)).expect("a parent")).collect();
        // Every commit has the same second, so only the parents give the order.
        let who = Signature::new("Ann Author", "ann@example.org", &Time::new(1_700_000_000, 0)).expect("a person");
        let tree = self.repository.find_tree(tree).expect("a tree");
        let parents: Vec<_> = parents.iter().collect();
        let id = self.repository.commit(None, &who, &who, message, &tree, &parents).expect("a commit");
        commit_id(id)
    }

    /// One more commit on a branch, which is made if it is missing.
    pub fn commit(&self, branch: &str, subject: &str) -> CommitId {
        self.commits(branch, &[subject]).remove(0)
    }

    /// Several commits, and the branch moves once.
    pub fn commits(&self, branch: &str, subjects: &[&str]) -> Vec<CommitId> {
        let mut parent = self.tip(branch);
        let mut made = Vec::new();
        for subject in subjects {
            let tree = self.tree(&[("file.txt", subject)]);
            let parents: Vec<_> = parent.iter().collect();
            let commit = self.loose_commit(tree, &parents, subject);
            parent = Some(commit.clone());
            made.push(commit);
        }
        self.set(branch, made.last().expect("at least one"));
        made
    }

    pub fn tip(&self, branch: &str) -> Option<CommitId> {
        self.repository.refname_to_id(&full(branch)).ok().map(commit_id)
    }

    pub fn set(&self, branch: &str, commit: &CommitId) {
        self.repository.reference(&full(branch), oid(commit), true, "test").expect("a legal ref");
    }

    pub fn delete(&self, branch: &str) {
        self.repository.find_reference(&full(branch)).expect("there").delete().expect("deleted");
    }

    /// Runs the git program in the repository.
    pub fn git(&self, arguments: &[&str]) {
        git(&self.path, arguments);
    }
}

pub fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .output()
        .expect("git starts");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn full(branch: &str) -> String {
    if branch.starts_with("refs/") { branch.to_owned() } else { format!("refs/heads/{branch}") }
}

pub fn oid(commit: &CommitId) -> Oid {
    Oid::from_str(commit.as_str()).expect("an id")
}

pub fn commit_id(id: Oid) -> CommitId {
    id.to_string().parse().expect("an id")
}
