//! One bare mirror per remote repository, fetched by exact commit with the git program.
//!
//! The mirrors are shared by all runners of a data folder; a file lock lets one fetch at a time. Git
//! gets a fixed clean environment, no shell, no hooks, no system configuration, no terminal to ask on,
//! and nothing that could be read as an option. Must not know: jobs, processes, brokers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use messages::{CommitId, RefName, RepositoryName};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::checkout::CheckoutError;

/// The longest fetch. One that makes no progress ends earlier, where git can tell (http).
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// How much of git's complaints is kept.
const MAX_COMPLAINT: u64 = 2048;
/// What git may speak. Not `ext` or `fd`, which run commands, and not `file`.
const PROTOCOLS: &str = "https:http:ssh:git";
/// What git needs to find credentials, proxies and certificates.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];
/// Complaints after which asking in another way is in vain.
const NOT_REACHED: &[&str] =
    &["unable to access", "unable to connect", "unable to look up", "Could not read from remote", "Could not resolve"];

/// The folder of all mirrors.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    root: PathBuf,
}

impl Mirrors {
    pub(crate) fn open(root: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// Makes sure that `commit` is in the mirror of `url`, and gives the mirror's object folder.
    pub(crate) async fn objects(
        &self,
        repository: &RepositoryName,
        url: &str,
        ref_name: &RefName,
        commit: &CommitId,
    ) -> Result<PathBuf, CheckoutError> {
        // The URL is part of the name: a repository that moved must not mix with what was there before.
        let mirror = self.root.join(format!("{repository}-{}.git", short_hash(url)));
        let _guard = lock(mirror.with_extension("lock")).await?;
        let objects = mirror.join("objects");
        if !has_commit(&mirror, commit) {
            init(&mirror)?;
            // One ref per ref: what the next fetch tells the server it has. More would only slow it down.
            let exact = format!("+{commit}:refs/thump/{}", short_hash(ref_name.as_str()));
            if let Err(why) = fetch(&mirror, url, &[exact.as_str()]).await? {
                if NOT_REACHED.iter().any(|sign| why.contains(sign)) {
                    return Err(CheckoutError::Fetch { why });
                }
                // The server gives no exact ids, or has this one no more: all refs tell which.
                let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
                fetch(&mirror, url, &all).await?.map_err(|why| CheckoutError::Fetch { why })?;
            }
            if !has_commit(&mirror, commit) {
                return Err(CheckoutError::CommitGone { commit: commit.clone() });
            }
        }
        Ok(objects)
    }
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

async fn lock(path: PathBuf) -> Result<File, CheckoutError> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(path)?;
        file.lock()?;
        Ok(file)
    });
    locked
        .await
        .unwrap_or_else(|cause| Err(std::io::Error::other(cause)))
        .map_err(CheckoutError::host("lock the mirror"))
}

fn init(mirror: &Path) -> Result<(), CheckoutError> {
    if mirror.join("HEAD").exists() {
        return Ok(());
    }
    let mut options = git2::RepositoryInitOptions::new();
    // No template: it may bring hooks.
    options.bare(true).mkpath(true).external_template(false);
    git2::Repository::init_opts(mirror, &options).map(drop).map_err(|cause| CheckoutError::of_git2(&cause))
}

fn has_commit(mirror: &Path, commit: &CommitId) -> bool {
    let Ok(repository) = git2::Repository::open_bare(mirror) else { return false };
    git2::Oid::from_str(commit.as_str()).is_ok_and(|id| repository.find_commit(id).is_ok())
}

/// The inner error is git's word about the remote; without a git there is none.
async fn fetch(mirror: &Path, url: &str, refspecs: &[&str]) -> Result<Result<(), String>, CheckoutError> {
    let mut git = tokio::process::Command::new("git");
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "http.lowSpeedLimit=1000",
        "http.lowSpeedTime=30",
    ] {
        git.args(["-c", setting]);
    }
    git.arg("--git-dir").arg(mirror);
    git.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--end-of-options"]);
    git.arg(url).args(refspecs);
    git.env_clear().envs(ENVIRONMENT.iter().filter_map(|&name| Some((name, std::env::var_os(name)?))));
    git.env("GIT_ALLOW_PROTOCOL", PROTOCOLS).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
    git.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=20").env("LC_ALL", "C");
    git.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = git.spawn().map_err(CheckoutError::host("start the git program"))?;
    let stderr = child.stderr.take();
    let complaint = async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            // What cannot be read is not told; the exit status counts. The rest is read and dropped,
            // so that git does not wait for a reader.
            let mut rest = stderr.take(MAX_COMPLAINT);
            drop(rest.read_to_end(&mut text).await);
            drop(tokio::io::copy(&mut rest.into_inner(), &mut tokio::io::sink()).await);
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let ended = tokio::time::timeout(FETCH_LIMIT, async { tokio::join!(child.wait(), complaint) }).await;
    Ok(match ended {
        Err(_) => Err(format!("git fetch took longer than {} s", FETCH_LIMIT.as_secs())),
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(_), complaint)) => Err(without_password(&complaint)),
        Ok((Err(cause), _)) => Err(cause.to_string()),
    })
}

/// Takes what stands between `://` and `@` out of every URL in a text.
pub(crate) fn without_password(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(['/', ' ', '\'', '"', '\n']).unwrap_or(after.len());
        let authority = &after[..end];
        shown.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        rest = &after[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let text = "fatal: unable to access 'https://user:pa@ss@host/x.git/': no";
        assert_eq!(without_password(text), "fatal: unable to access 'https://host/x.git/': no");
        assert_eq!(without_password("nothing"), "nothing");
    }
}
