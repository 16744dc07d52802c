//! Brings the exact commit into a fresh folder.
//!
//! The folder becomes a repository of its own that borrows the objects of the source (alternates), so
//! no object is copied and steps may ask `git log`. A local repository lends its objects directly: it is
//! not opened, so neither its configuration nor its hooks nor its owner matter. Must not know: jobs,
//! processes, brokers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use messages::{CommitId, ErroredKind, RefName, RepositorySource};

use crate::mirror::{Mirrors, without_password};

/// Why a commit could not be checked out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckoutError {
    #[error("commit {commit} is not in the repository any more (was it force-pushed away?)")]
    CommitGone { commit: CommitId },
    #[error("{} is no git repository on this machine; a local path needs a runner on the same machine", path.display())]
    NoRepository { path: PathBuf },
    #[error("the repository's address {url:?} is neither an absolute path nor an https, http, ssh or git URL")]
    Address { url: String },
    #[error("fetch the commit: {why}")]
    Fetch { why: String },
    #[error("check out the commit: {why}")]
    Refused { why: String },
    #[error("{what} on the runner's machine: {cause}")]
    Host { what: &'static str, cause: io::Error },
}

impl CheckoutError {
    /// Names the act that the machine refused.
    pub(crate) fn host(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Host { what, cause }
    }

    pub(crate) fn of_git2(cause: &git2::Error) -> Self {
        match cause.class() {
            git2::ErrorClass::Os | git2::ErrorClass::Filesystem => {
                Self::Host { what: "write the checkout", cause: io::Error::other(cause.message().to_owned()) }
            }
            // An object that is missing may be there after the next fetch.
            git2::ErrorClass::Odb => Self::Fetch { why: cause.message().to_owned() },
            _ => Self::Refused { why: cause.message().to_owned() },
        }
    }

    /// A vanished commit stays vanished and a wrong address stays wrong; another runner, or a later
    /// time, may have more luck with the rest.
    pub(crate) fn worth_retrying(&self) -> bool {
        matches!(self, Self::NoRepository { .. } | Self::Fetch { .. } | Self::Host { .. })
    }

    pub(crate) fn kind(&self) -> ErroredKind {
        match self {
            Self::CommitGone { .. } => ErroredKind::CommitGone,
            Self::Host { .. } => ErroredKind::Host,
            _ => ErroredKind::Checkout,
        }
    }
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Local(PathBuf),
    Remote(String),
}

/// Makes sure that the commit is on this machine, and gives the folder of the objects that has it.
pub(crate) async fn objects(
    mirrors: &Mirrors,
    source: &RepositorySource,
    ref_name: &RefName,
    commit: &CommitId,
) -> Result<PathBuf, CheckoutError> {
    match origin(&source.url)? {
        Origin::Local(path) => objects_of(&path).ok_or(CheckoutError::NoRepository { path }),
        Origin::Remote(url) => mirrors.objects(&source.name, &url, ref_name, commit).await,
    }
}

/// Checks `commit` out of `objects` into `folder`, which is made. Not to be abandoned half way: the
/// thread that writes would go on.
pub(crate) async fn check_out(objects: PathBuf, commit: CommitId, folder: PathBuf) -> Result<(), CheckoutError> {
    tokio::task::spawn_blocking(move || write_tree(&objects, &commit, &folder))
        .await
        .unwrap_or_else(|cause| Err(CheckoutError::Refused { why: cause.to_string() }))
}

fn origin(url: &str) -> Result<Origin, CheckoutError> {
    let refuse = || CheckoutError::Address { url: without_password(url).chars().take(200).collect() };
    if url.chars().any(char::is_control) || url.starts_with('-') {
        return Err(refuse());
    }
    if let Some(path) = url.strip_prefix("file://").or(Some(url)).filter(|path| path.starts_with('/')) {
        return Ok(Origin::Local(PathBuf::from(path)));
    }
    let remote = match url.split_once("://") {
        Some((scheme, rest)) => {
            matches!(scheme, "https" | "http" | "ssh" | "git") && !rest.starts_with('-') && !rest.is_empty()
        }
        // The short form of ssh, `user@host:path`. `ext::command` has its colon twice.
        None => url.split_once(':').is_some_and(|(host, path)| {
            !host.is_empty() && !host.contains('/') && !path.is_empty() && !path.starts_with([':', '-'])
        }),
    };
    if remote { Ok(Origin::Remote(url.to_owned())) } else { Err(refuse()) }
}

/// The folder with the objects of a local repository: bare, not bare, or a linked work tree
/// (gitrepository-layout).
fn objects_of(path: &Path) -> Option<PathBuf> {
    let dot_git = path.join(".git");
    let git_dir = if dot_git.is_dir() {
        dot_git
    } else if let Ok(pointer) = fs::read_to_string(&dot_git) {
        path.join(pointer.strip_prefix("gitdir:")?.trim())
    } else {
        path.to_owned()
    };
    let common = match fs::read_to_string(git_dir.join("commondir")) {
        Ok(pointer) => git_dir.join(pointer.trim()),
        Err(_) => git_dir,
    };
    let objects = common.join("objects").canonicalize().ok()?;
    // The alternates file has a path per line.
    (objects.is_dir() && !objects.to_str()?.contains('\n')).then_some(objects)
}

fn write_tree(objects: &Path, commit: &CommitId, folder: &Path) -> Result<(), CheckoutError> {
    let skeleton = skeleton(objects, commit, folder);
    skeleton.map_err(CheckoutError::host("make the workspace"))?;
    let repository = git2::Repository::open(folder).map_err(|cause| CheckoutError::of_git2(&cause))?;
    let id = git2::Oid::from_str(commit.as_str())
        .map_err(|_| CheckoutError::Refused { why: "repositories with SHA-256 ids are not supported".into() })?;
    let found = repository.find_commit(id).map_err(|cause| match cause.code() {
        git2::ErrorCode::NotFound => CheckoutError::CommitGone { commit: commit.clone() },
        _ => CheckoutError::of_git2(&cause),
    })?;
    let tree = found.tree().map_err(|cause| CheckoutError::of_git2(&cause))?;
    let mut how = git2::build::CheckoutBuilder::new();
    how.force();
    repository.checkout_tree(tree.as_object(), Some(&mut how)).map_err(|cause| CheckoutError::of_git2(&cause))
}

/// The least that makes a folder a repository with a detached HEAD. By hand, because a library's `init`
/// copies templates and writes a dozen files that nobody needs.
fn skeleton(objects: &Path, commit: &CommitId, folder: &Path) -> io::Result<()> {
    let git = folder.join(".git");
    fs::create_dir_all(git.join("objects/info"))?;
    fs::create_dir_all(git.join("refs/heads"))?;
    fs::write(git.join("HEAD"), format!("{commit}\n"))?;
    // Set here so that the configuration of the user who runs us does not decide about line ends.
    let config = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfilemode = true\n\tautocrlf = false\n\
                  \tsymlinks = true\n\thooksPath = /dev/null\n\tattributesFile = /dev/null\n[gc]\n\tauto = 0\n";
    fs::write(git.join("config"), config)?;
    let mut line = objects.as_os_str().to_owned();
    line.push("\n");
    fs::write(git.join("objects/info/alternates"), line.as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_git_could_run_as_a_command_is_refused() {
        for bad in [
            "ext::sh -c id",
            "fd::17",
            "--upload-pack=id",
            "ssh://-oProxyCommand=id/x",
            "relative/path",
            "",
            "a:",
            "ftp://host/x",
            "host:-x",
            "https://",
            "https://h/\n",
        ] {
            assert!(matches!(origin(bad), Err(CheckoutError::Address { .. })), "{bad:?}");
        }
    }

    #[test]
    fn paths_and_urls_are_told_apart() {
        assert_eq!(origin("/srv/x.git").ok(), Some(Origin::Local("/srv/x.git".into())));
        assert_eq!(origin("file:///srv/x").ok(), Some(Origin::Local("/srv/x".into())));
        for url in ["https://host/x.git", "ssh://git@host/x", "git@host:team/x.git", "git://host:9418/x"] {
            assert_eq!(origin(url).ok(), Some(Origin::Remote(url.into())));
        }
    }
}
