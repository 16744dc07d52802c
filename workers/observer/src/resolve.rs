//! From what was typed to repositories that can be watched: every check is made here, once.
//!
//! Opens local repositories to see that they are some; never touches the network, because a remote
//! that is away now is watched all the same.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository};
use messages::{RepositoryName, RepositorySource};
use url::Url;

use crate::error::{Problem, RepositoryError};
use crate::names::Names;

/// Schemes that git may be asked to fetch. The same list is given to the git program itself.
pub(crate) const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// A repository to watch, checked and named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its name and what a runner fetches from.
    pub source: RepositorySource,
    /// How the observer looks at it.
    pub location: Location,
    /// What else was typed that means the same repository, without passwords.
    pub also_typed: Vec<String>,
}

/// How the observer looks at a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// On this machine's disk: read directly, changes are seen in milliseconds.
    Local(PathBuf),
    /// Somewhere else: asked through the git program from time to time.
    Remote(String),
}

/// Turns what was typed into watched repositories. Each item is a path of a repository (bare or not, or
/// anywhere inside a working tree), a URL (https, http, ssh, git, file) or `user@host:path`; `NAME=`
/// before it chooses its name. What is typed twice is watched once, and [`Watched::also_typed`] tells.
///
/// `data` is the observer's own folder; the names given out are kept there, so that a location keeps
/// its name for ever.
///
/// # Errors
/// Every item that cannot be watched, with the reason and the remedy.
pub fn resolve(typed: &[String], data: &Path) -> Result<Vec<Watched>, Vec<RepositoryError>> {
    let failed = |given: &str, problem| RepositoryError { given: without_password(given), problem };
    let mut errors = Vec::new();
    let mut found: Vec<Watched> = Vec::new();
    let mut names = match Names::open(data) {
        Ok(names) => names,
        Err(cause) => return Err(vec![failed(typed.first().map_or("", String::as_str), cause.into())]),
    };
    for given in typed {
        match resolve_one(given, &mut names) {
            Ok(watched) => match found.iter_mut().find(|other| other.location == watched.location) {
                Some(other) => other.also_typed.push(without_password(given)),
                None => found.push(watched),
            },
            Err(problem) => errors.push(failed(given, problem)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    names.save().map_err(|cause| vec![failed(typed.first().map_or("", String::as_str), cause.into())])?;
    Ok(found)
}

fn resolve_one(given: &str, names: &mut Names) -> Result<Watched, Problem> {
    let (wish, rest) = split_name(given)?;
    let location = locate(rest)?;
    let url = match &location {
        Location::Local(path) => path.to_str().ok_or(Problem::NotText)?.to_owned(),
        Location::Remote(url) => url.clone(),
    };
    if url.chars().any(char::is_control) {
        return Err(Problem::NotText);
    }
    let name = names.name(&url, wish)?;
    Ok(Watched { source: RepositorySource { name, url }, location, also_typed: Vec::new() })
}

/// Splits `NAME=LOCATION`. A path with `=` in it stays whole if it exists.
fn split_name(given: &str) -> Result<(Option<RepositoryName>, &str), Problem> {
    let could_be_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match given.split_once('=') {
        Some((name, rest)) if could_be_name(name) && !Path::new(given).exists() => Ok((Some(name.parse()?), rest)),
        _ => Ok((None, given)),
    }
}

fn locate(text: &str) -> Result<Location, Problem> {
    let path = Path::new(text);
    if !text.contains("://") && path.exists() {
        return local(path);
    }
    elsewhere(text).unwrap_or_else(|| local(path))
}

/// Reads what is no path of a local repository; `None` if it has no form of a remote one.
pub(crate) fn elsewhere(text: &str) -> Option<Result<Location, Problem>> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Some(remote_url(text, scheme));
    }
    // `helper::address` makes git run git-remote-helper; `ext::` even runs any command.
    if let Some((helper, _)) = text.split_once("::").filter(|(helper, _)| is_word(helper)) {
        return Some(Err(Problem::Scheme(helper.to_owned())));
    }
    // As in git: a colon before the first slash makes it user@host:path.
    let (host, path) = text.split_once(':').filter(|(host, _)| !host.contains('/'))?;
    Some(scp_like(text, host, path))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

fn remote_url(text: &str, scheme: &str) -> Result<Location, Problem> {
    if !SCHEMES.contains(&scheme) {
        return Err(Problem::Scheme(scheme.to_owned()));
    }
    let url = Url::parse(text).map_err(|cause| Problem::Url(cause.to_string()))?;
    if url.password().is_some() {
        return Err(Problem::Password);
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() && scheme != "file" {
        return Err(Problem::Url("it has no host".to_owned()));
    }
    if url.path().trim_matches('/').is_empty() {
        return Err(Problem::Url("it has no path".to_owned()));
    }
    // Encoded too: git decodes before it calls ssh.
    let user = url.username();
    if host.starts_with('-') || host.starts_with("%2d") || user.starts_with('-') || user.starts_with("%2") {
        return Err(Problem::LooksLikeOption);
    }
    // As it was typed: git's own reading of odd characters differs from the URL standard's.
    Ok(Location::Remote(text.to_owned()))
}

fn scp_like(text: &str, host: &str, path: &str) -> Result<Location, Problem> {
    let (_, host) = host.rsplit_once('@').unwrap_or(("", host));
    // user:password@host:path is no form that git knows; it would take `user` for the host.
    if path.split('/').next().is_some_and(|first| first.contains('@')) {
        return Err(Problem::Password);
    }
    if host.is_empty() || path.is_empty() {
        return Err(Problem::Url("it needs the form user@host:path".to_owned()));
    }
    if text.starts_with('-') || host.starts_with('-') || path.starts_with('-') {
        return Err(Problem::LooksLikeOption);
    }
    Ok(Location::Remote(text.to_owned()))
}

/// Finds the repository a path belongs to. A linked working tree leads to the repository it hangs on,
/// which has the refs and outlives the tree.
fn local(path: &Path) -> Result<Location, Problem> {
    let path = fs::canonicalize(path).map_err(Problem::Path)?;
    let opened = |cause: git2::Error| match cause.code() {
        ErrorCode::Owner => Problem::Owner(path.clone()),
        _ => Problem::NoRepository(cause.message().to_owned()),
    };
    let mut repository = Repository::discover(&path).map_err(opened)?;
    if repository.is_worktree() {
        repository = Repository::open(repository.commondir()).map_err(opened)?;
    }
    let place = repository.workdir().unwrap_or_else(|| repository.path());
    fs::canonicalize(place).map(Location::Local).map_err(Problem::Path)
}

/// For messages: whatever stands between `user:` and `@` is hidden.
pub(crate) fn without_password(given: &str) -> String {
    let (scheme, rest) = match given.split_once("://") {
        Some((scheme, _)) => given.split_at(scheme.len() + 3),
        None => ("", given),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((userinfo, _)) = authority.rsplit_once('@') else { return given.to_owned() };
    match userinfo.split_once(':') {
        Some((user, _)) => format!("{scheme}{user}:***{}", &rest[userinfo.len()..]),
        None => given.to_owned(),
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
