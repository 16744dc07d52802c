//! A team's repository: a bare one that is watched, and a clone in which people work.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A bare repository and a clone of it.
pub(crate) struct Repository {
    bare: PathBuf,
    clone: PathBuf,
}

impl Repository {
    /// An empty repository `name` below `folder`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let bare = folder.join(format!("{name}.git"));
        let clone = folder.join(format!("{name}-work"));
        git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", &bare.display().to_string()]);
        git(folder, &["init", "--quiet", "--initial-branch=main", &clone.display().to_string()]);
        git(&clone, &["remote", "add", "origin", &bare.display().to_string()]);
        Self { bare, clone }
    }

    /// The watched, bare repository.
    pub(crate) fn path(&self) -> &Path {
        &self.bare
    }

    /// The clone.
    pub(crate) fn clone_path(&self) -> &Path {
        &self.clone
    }

    /// Writes a file in the clone.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.clone.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
        std::fs::write(path, text).expect("write");
    }

    /// Commits everything in the clone and returns the commit's id.
    pub(crate) fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Commits a pipeline whose only job runs this shell text, and pushes it to the current branch.
    pub(crate) fn push_job(&self, shell: &str) -> String {
        self.write(".thump.toml", &pipeline(&[shell]));
        let commit = self.commit("a job");
        self.push();
        commit
    }

    /// [`Repository::push_job`] over whatever the branch was.
    pub(crate) fn push_forced(&self, shell: &str) -> String {
        self.write(".thump.toml", &pipeline(&[shell]));
        let commit = self.commit("a rewritten job");
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        commit
    }

    /// Pushes the current branch.
    pub(crate) fn push(&self) {
        self.git(&["push", "--quiet", "origin", "HEAD"]);
    }

    /// Runs git in the clone.
    pub(crate) fn git(&self, words: &[&str]) -> String {
        git(&self.clone, words)
    }
}

/// A pipeline with one job of these steps.
pub(crate) fn pipeline(steps: &[&str]) -> String {
    let steps: Vec<String> = steps.iter().map(|step| format!("'''\n{step}'''")).collect();
    format!("[[job]]\nname = \"test\"\nsteps = [{}]\n", steps.join(", "))
}

fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=A Developer", "-c", "user.email=developer@example.com", "-c", "commit.gpgsign=false"])
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
