//! The command `thump`: parse, set up logs, hand over, exit code. No logic lives here.

mod cli;
mod client;
mod drills;
mod exit;
mod inspect;
mod logging;
mod once;
mod roles;
mod settings;
mod settings_file;
mod shutdown;
mod up;
mod verdicts;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    // First of all, before a runtime or logs exist: a job's start waits for this.
    if std::env::args_os().nth(1).is_some_and(|word| word == "supervise") {
        return runner::supervise();
    }
    let cli = Cli::parse();
    logging::start(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Exit::failed(format!("start: {cause}")).report(),
    };
    let exit = runtime.block_on(run(cli));
    // Blocking calls that are under way (a read of a slow disk, a git walk) shall not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    exit.report()
}

async fn run(cli: Cli) -> Exit {
    let outcome = match cli.command {
        Command::Up(options) => up::run(options).await,
        Command::Observe(options) => roles::observe(options).await,
        Command::Dispatch(options) => roles::dispatch(options).await,
        Command::Run(options) => roles::run(options).await,
        Command::Drill(options) => drills::run(options).await,
        Command::Check(options) => inspect::check(&options),
        Command::Config(options) => inspect::config(&options),
        Command::Completions(options) => inspect::completions(&options),
        Command::Builds(options) => client::builds(options).await,
        Command::Show(options) => client::show(options).await,
        Command::Logs(options) => client::logs(options).await,
        Command::Wait(options) => client::wait(options).await,
        Command::Cancel(options) => client::cancel(options).await,
        Command::Retry(options) => client::retry(options).await,
        Command::Queues(options) => client::queues(options).await,
        Command::Dead(options) => client::dead(options).await,
        Command::Runners(options) => client::runners(options).await,
    };
    outcome.unwrap_or_else(|exit| exit)
}
