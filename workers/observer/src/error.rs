//! What can go wrong before and while repositories are watched, each with its remedy.
//!
//! Three families on purpose: what only the person who typed can mend ([`RepositoryError`]), what ends
//! the whole role ([`ObserverError`]), and what befalls one repository and is tried again for ever
//! ([`Trouble`]).

use std::io;
use std::path::PathBuf;

use broker::RefusedError;

/// Why something that was typed is no repository that can be watched.
#[derive(Debug, thiserror::Error)]
#[error("{given:?} {problem}")]
pub struct RepositoryError {
    /// What was typed, without any password.
    pub given: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a typed repository, in words that continue its name.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No such path, and no URL either.
    #[error("cannot be opened: {0}; give the path of a repository or a URL such as https://host/name.git")]
    Path(io::Error),
    /// A path, but git knows nothing there.
    #[error("is no git repository, nor inside one: {0}")]
    NoRepository(String),
    /// git refuses repositories of other users.
    #[error("belongs to another user: allow it with `git config --global --add safe.directory {}`", .0.display())]
    Owner(PathBuf),
    /// A path or URL that could not be written down in a message.
    #[error("has a path that is not plain UTF-8 text: rename the folder")]
    NotText,
    /// A scheme that is not on the list of allowed ones.
    #[error("has the scheme {0:?}; allowed are https, http, ssh, git, file, user@host:path and local paths")]
    Scheme(String),
    /// Not a URL.
    #[error("is no valid URL: {0}")]
    Url(String),
    /// A password in the URL would end in messages, process lists and logs.
    #[error(
        "carries a password: take it out and give it to git's own credential helper \
         (`git help credentials`) or use an ssh key"
    )]
    Password,
    /// It could be read as an option by git or ssh.
    #[error("has a host, user or path that begins with '-'")]
    LooksLikeOption,
    /// The name before `=` cannot be one.
    #[error("has a bad name before '=': {0}")]
    Name(#[from] messages::InvalidName),
    /// The name is in use.
    #[error("wants the name {name}, which belongs to {location}: choose another one before '='")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        location: String,
    },
    /// The location was watched under another name before, and its history hangs on that name.
    #[error("is known under the name {name} already: leave the name out, or use that one")]
    KnownAs {
        /// Its name for ever.
        name: String,
    },
    /// The list of names cannot be read or written.
    #[error("cannot be given its name: {0}")]
    Registry(#[from] StateFileError),
}

/// A file of ours that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The file system refuses.
    #[error("{what} {}: {cause}", path.display())]
    Io {
        /// What was tried, for example `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// It is not what we wrote.
    #[error("{} is damaged ({cause}): {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder found.
        cause: String,
        /// What a person can do.
        remedy: &'static str,
    },
}

/// Why the observer cannot start, or had to end. Nothing here is mended by a retry of ours.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// Two observers on one folder would fight over the cursors.
    #[error("another observer is working in {}: stop it, or give this one another folder with --data", .0.display())]
    InUse(PathBuf),
    /// The data folder cannot be used.
    #[error("prepare the data folder {}: {cause}", path.display())]
    Data {
        /// The folder or file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A pattern for branches or tags cannot be understood.
    #[error("the pattern {pattern:?} for branches or tags is not valid: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        why: String,
    },
    /// The broker refuses this observer, and waiting does not mend it.
    #[error(transparent)]
    Broker(#[from] RefusedError),
}

/// What is in the way of watching one repository now. Always worth another try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("open {}: {}", path.display(), cause.message())]
    Open { path: PathBuf, cause: git2::Error },
    #[error("{0} belongs to another user: allow it with `git config --global --add safe.directory {0}`", path.display())]
    Owner { path: PathBuf },
    #[error("read its refs: {}", .0.message())]
    Refs(git2::Error),
    #[error("walk the commits of {ref_name}: {}", cause.message())]
    Walk { ref_name: String, cause: git2::Error },
    #[error("{what}: {why}")]
    Git { what: &'static str, why: String },
    #[error("{what}: {why}; it was ended")]
    GitTooSlow { what: &'static str, why: String },
    #[error("{what} the mirror {}: {cause}", path.display())]
    Mirror { what: &'static str, path: PathBuf, cause: io::Error },
    #[error(transparent)]
    State(#[from] StateFileError),
    #[error("work on the repository ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Trouble {
    pub(crate) fn opening(path: &std::path::Path, cause: git2::Error) -> Self {
        let path = path.to_owned();
        if cause.code() == git2::ErrorCode::Owner { Self::Owner { path } } else { Self::Open { path, cause } }
    }

    /// Whether the objects on disk are in doubt: then a mirror is rebuilt.
    pub(crate) fn doubts_objects(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Refs(_) | Self::Walk { .. })
    }
}

/// The present trouble of one thing, so that it is logged once per change and not once per try.
#[derive(Debug, Default)]
pub(crate) struct Fault(Option<(String, std::time::Instant)>);

impl Fault {
    /// Notes the trouble; true if it is another one than before.
    pub(crate) fn set(&mut self, text: String) -> bool {
        match &mut self.0 {
            Some((known, _)) if *known == text => false,
            Some((known, _)) => {
                *known = text;
                true
            }
            None => {
                self.0 = Some((text, std::time::Instant::now()));
                true
            }
        }
    }

    /// It works: how long it did not, if it did not.
    pub(crate) fn clear(&mut self) -> Option<std::time::Duration> {
        self.0.take().map(|(_, since)| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once() {
        let mut fault = Fault::default();
        assert!(fault.clear().is_none());
        assert!(fault.set("disk".into()));
        assert!(!fault.set("disk".into()));
        assert!(fault.set("net".into()));
        assert!(fault.clear().is_some());
        assert!(fault.set("net".into()));
    }
}
