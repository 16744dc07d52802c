//! Finds the installed server and the Erlang tools beside it.
//!
//! `tests/run` looks in the same places in the same order.

use crate::NodeError;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Debian's package, one folder per version.
const DEBIAN_VERSIONS: &str = "/usr/lib/rabbitmq/lib";
/// Debian's package, links to the above.
const DEBIAN_LINKS: &str = "/usr/lib/rabbitmq/bin";

/// An installed RabbitMQ.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// The folder of the real scripts. Debian's wrappers on PATH are of no use: they change to the user `rabbitmq`.
    pub(crate) scripts: PathBuf,
    /// Erlang's port mapper.
    pub(crate) epmd: PathBuf,
    /// A small C program that evaluates an expression on a node in 5 ms; `rabbitmqctl` needs 0.8 s. Not in every
    /// Erlang package.
    pub(crate) erl_call: Option<PathBuf>,
}

impl Installation {
    /// Looks into `RABBITMQ_SBIN`, Debian's folders, then PATH.
    pub(crate) fn find() -> Result<Self, NodeError> {
        let scripts = scripts().ok_or(NodeError::NotInstalled { missing: "rabbitmq-server" })?;
        let epmd = on_path("epmd").ok_or(NodeError::NotInstalled { missing: "epmd" })?;
        let erl_call = epmd.parent().map(|folder| folder.join("erl_call")).filter(|file| file.is_file());
        Ok(Self { scripts, epmd, erl_call: erl_call.or_else(|| on_path("erl_call")) })
    }
}

fn scripts() -> Option<PathBuf> {
    let has_server = |folder: &PathBuf| folder.join("rabbitmq-server").is_file();
    if let Some(folder) = env::var_os("RABBITMQ_SBIN") {
        return Some(PathBuf::from(folder)).filter(has_server);
    }
    let newest_debian = || {
        let mut versions: Vec<PathBuf> = Path::new(DEBIAN_VERSIONS)
            .read_dir()
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("sbin"))
            .filter(has_server)
            .collect();
        versions.sort();
        versions.pop()
    };
    newest_debian()
        .or_else(|| Path::new(DEBIAN_LINKS).canonicalize().ok().filter(has_server))
        .or_else(|| on_path("rabbitmq-server")?.parent().map(Path::to_path_buf))
}

/// The file behind the links, so that its neighbours are those of the real program.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())?.canonicalize().ok()
}
