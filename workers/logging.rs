//! Where log lines go: stderr, so that stdout stays data.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

/// Sets up logs once. A filter that cannot be read is replaced by the default, with a line about it.
pub(crate) fn start(cli: &Cli) {
    // `up` prints verdicts for a person; the roles are read by a service manager.
    let usual = match cli.command {
        Command::Up(_) => "warn",
        Command::Observe(_) | Command::Dispatch(_) | Command::Run(_) => "info",
        _ => "error",
    };
    // lapin speaks of every lost connection itself; the broker crate says it once and in our words.
    let with_quiet_libraries = |level: &str| format!("{level},lapin=off,sqlx=error,hyper=error,notify=error");
    let (filter, problem) = match &cli.log {
        None => (EnvFilter::new(with_quiet_libraries(usual)), None),
        Some(text) => match EnvFilter::try_new(text) {
            Ok(filter) => (filter, None),
            Err(cause) => (
                EnvFilter::new(with_quiet_libraries(usual)),
                Some(format!("--log {text:?} is not understood: {cause}")),
            ),
        },
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if cli.log_json {
        lines.json().init();
    } else {
        lines.with_ansi(colours).init();
    }
    if let Some(problem) = problem {
        tracing::warn!("{problem}");
    }
}
