//! The watched repository. Commits are written straight into it, since a push of a thousand commits by the git
//! program would cost more than the jobs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use git2::{Oid, Signature, Time};

/// The branch that everything goes to.
pub const BRANCH: &str = "refs/heads/main";

/// A bare repository.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn new(path: &Path) -> Result<Self> {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main");
        drop(git2::Repository::init_opts(path, &options)?);
        Ok(Self { path: path.to_owned() })
    }

    /// Adds a commit for each pipeline and moves the branch once, as one push would. Returns their ids, oldest first.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn push(&self, pipelines: &[String]) -> Result<Vec<String>> {
        let repository = git2::Repository::open_bare(&self.path)?;
        let mut parent = repository.find_reference(BRANCH).ok().and_then(|tip| tip.target());
        let mut number = match parent {
            Some(tip) => count(&repository, tip)?,
            None => 0,
        };
        let mut ids = Vec::new();
        for pipeline in pipelines {
            number += 1;
            let blob = repository.blob(pipeline.as_bytes())?;
            let mut tree = repository.treebuilder(None)?;
            tree.insert(".thump.toml", blob, 0o100_644)?;
            let tree = repository.find_tree(tree.write()?)?;
            // The number in the author's time, so that no two commits are the same.
            let author = Signature::new("A Developer", "developer@example.com", &Time::new(1_700_000_000 + number, 0))?;
            let parents = parent.map(|id| repository.find_commit(id)).transpose()?;
            let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
            let id = repository.commit(None, &author, &author, &format!("commit {number}"), &tree, &parents)?;
            ids.push(id.to_string());
            parent = Some(id);
        }
        if let Some(tip) = parent {
            repository.reference(BRANCH, tip, true, "push")?;
        }
        Ok(ids)
    }
}

/// The number of a commit that [`Repository::push`] made.
fn count(repository: &git2::Repository, tip: Oid) -> Result<i64> {
    Ok(repository.find_commit(tip)?.author().when().seconds() - 1_700_000_000)
}
