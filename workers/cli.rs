//! What can be typed. Checked values and defaults are the business of `settings`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Continuous integration as a message-broker-backed job queue.
#[derive(Debug, Parser)]
#[command(
    name = "thump",
    version,
    about,
    propagate_version = true,
    after_help = "Start with:  thump up    in a git repository"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as broker=debug
    #[arg(long, global = true, env = "THUMP_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Log lines as JSON, one object a line
    #[arg(long, global = true, env = "THUMP_LOG_JSON")]
    pub(crate) log_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: watch, test, show
    #[command(
        after_help = "Examples:\n  thump up                      the repository one stands in\n  thump up ../a.git ../b        two local repositories\n  thump up https://host/x.git   a remote one\n  thump up . --once             test the current tips, exit 0 or 1 (3: nothing to test)"
    )]
    Up(UpOptions),
    /// Role: watch repositories and announce their commits
    #[command(after_help = "Example:\n  thump observe /srv/git/app.git --broker amqp://user:password@broker/thump")]
    Observe(ObserveOptions),
    /// Role: plan builds, hand out jobs, record verdicts, serve the dashboard
    #[command(
        after_help = "Example:\n  thump dispatch --listen 127.0.0.1:7411 --broker amqp://user:password@broker/thump"
    )]
    Dispatch(DispatchOptions),
    /// Role: run jobs; start as many as you like
    #[command(after_help = "Example:\n  thump run --slots 4 --broker amqp://user:password@broker/thump")]
    Run(RunOptions),
    /// Prove the promises on this machine: run small jobs under faults, and count what was lost, doubled or stuck
    #[command(
        after_help = "Examples:\n  thump drill                                   one process with the broker inside, under bad weather\n  thump drill --broker amqp://user:password@host/drill   processes over an EMPTY virtual host of a RabbitMQ\n  thump drill --seed 7                          the same faults again\n\nExit codes: 0 every promise kept, 1 one was broken (the logs are kept), 2 usage"
    )]
    Drill(DrillOptions),
    /// Check a pipeline file
    Check(CheckOptions),
    /// Show the settings and where each comes from
    Config(ConfigOptions),
    /// Print the completion script of a shell
    Completions(CompletionsOptions),
    /// List builds, newest first
    Builds(BuildsOptions),
    /// Show one build with its jobs
    Show(ShowOptions),
    /// Print a job's log
    Logs(LogsOptions),
    /// Wait for the verdict on a commit: exits 0 if good, 1 if not, 124 after the timeout
    Wait(WaitOptions),
    /// Cancel a build or a job
    Cancel(TargetOptions),
    /// Run a finished job again
    Retry(TargetOptions),
    /// List the queues of all pools
    Queues(ListOptions),
    /// List the runners and what each holds
    Runners(ListOptions),
    /// The parking lot: list, show, replay or discard what ended errored
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  thump dead                    what is parked\n  thump dead show ID            with the evidence of each attempt\n  thump dead replay ID ID       run these again\n  thump dead discard ID         off the list, kept in history\n\nExit codes: 0 done, 1 refused (run again already, ...), 2 usage, 3 not reachable or not parked"
    )]
    Dead(DeadOptions),
}

/// Where state lies. Shared by every role.
#[derive(Debug, Args, Clone)]
pub(crate) struct DataOption {
    /// The folder for all state [default: thump in the user's state directory]
    #[arg(long, env = "THUMP_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A settings file [default: thump.toml in the data folder, if it is there]
    #[arg(long, env = "THUMP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which broker. Shared by every role.
#[derive(Debug, Args, Clone)]
pub(crate) struct BrokerOption {
    /// The broker: `embedded` (only with `up`) or amqp(s)://user:password@host:port/vhost. Better in
    /// THUMP_BROKER or in the file named by THUMP_BROKER_FILE: arguments are seen by every user of a machine
    #[arg(long, env = "THUMP_BROKER", value_name = "URL", hide_env_values = true)]
    pub(crate) broker: Option<String>,
}

/// What is watched, and how.
#[derive(Debug, Args, Clone)]
pub(crate) struct WatchOptions {
    /// Repositories: local paths (bare or not) or URLs; NAME=LOCATION gives a name
    #[arg(value_name = "REPO")]
    pub(crate) repositories: Vec<String>,
    /// Watch only branches that match, for example main or 'release/*' [default: all]
    #[arg(long = "branch", env = "THUMP_BRANCHES", value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) branches: Vec<String>,
    /// Watch tags that match [default: none]
    #[arg(long = "tag", env = "THUMP_TAGS", value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// Test only the tip of each push instead of every commit
    #[arg(long, env = "THUMP_TIPS_ONLY")]
    pub(crate) tips_only: bool,
    /// The most commits of one push that are tested, newest first; older ones are recorded as skipped [default: 1000]
    #[arg(long, env = "THUMP_MAX_COMMITS", value_name = "N")]
    pub(crate) max_commits: Option<usize>,
    /// How often remote repositories are asked, in seconds [default: 10]
    #[arg(long, env = "THUMP_POLL_SECONDS", value_name = "S")]
    pub(crate) poll_seconds: Option<u64>,
}

/// Where the dashboard listens and where the ledger lies.
#[derive(Debug, Args, Clone)]
pub(crate) struct ServeOptions {
    /// Where page and API are served [default: 127.0.0.1:7411]
    #[arg(long, env = "THUMP_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// A name by which people reach page and API, besides addresses and localhost; may be repeated
    #[arg(long = "host", env = "THUMP_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// The ledger [default: sqlite:<data>/dispatcher/ledger.db]
    #[arg(long, env = "THUMP_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
}

/// How jobs are run.
#[derive(Debug, Args, Clone)]
pub(crate) struct RunnerOptions {
    /// How many jobs run at once [default: the number of processors]
    #[arg(long, env = "THUMP_SLOTS", value_name = "N")]
    pub(crate) slots: Option<u16>,
    /// How long running jobs may go on after a stop, in seconds [default: 600]
    #[arg(long, env = "THUMP_DRAIN_SECONDS", value_name = "S")]
    pub(crate) drain_seconds: Option<u64>,
    /// The most bytes kept of one job's log [default: 67108864]
    #[arg(long, env = "THUMP_MAX_LOG_BYTES", value_name = "N")]
    pub(crate) max_log_bytes: Option<u64>,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) watch: WatchOptions,
    #[command(flatten)]
    pub(crate) data: DataOption,
    #[command(flatten)]
    pub(crate) broker: BrokerOption,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
    #[command(flatten)]
    pub(crate) runner: RunnerOptions,
    /// For drills: the embedded broker has a bad weather of this seed
    #[arg(long, hide = true, value_name = "SEED")]
    pub(crate) weather: Option<u64>,
    /// Test the current tips, print the verdicts and exit: 0 if all are good, 1 if not, 3 if there is nothing
    /// to test or a repository cannot be read
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct DrillOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOption,
    /// How many jobs, at least
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) jobs: u32,
    /// How many faults, besides those of the weather
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) faults: u32,
    /// From the first fault to the last one, in seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// How many runners; on the embedded broker only their slots count
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) runners: u16,
    /// How many jobs each of them runs at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) slots: u16,
    /// The same seed plans the same faults [default: a new one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct ObserveOptions {
    #[command(flatten)]
    pub(crate) watch: WatchOptions,
    #[command(flatten)]
    pub(crate) data: DataOption,
    #[command(flatten)]
    pub(crate) broker: BrokerOption,
    /// This observer's name [default: made from the host name and kept in the data folder]
    #[arg(long, env = "THUMP_NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct DispatchOptions {
    #[command(flatten)]
    pub(crate) data: DataOption,
    #[command(flatten)]
    pub(crate) broker: BrokerOption,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) data: DataOption,
    #[command(flatten)]
    pub(crate) broker: BrokerOption,
    #[command(flatten)]
    pub(crate) runner: RunnerOptions,
    /// Which jobs it takes [default: default]
    #[arg(long, env = "THUMP_POOL", value_name = "NAME")]
    pub(crate) pool: Option<String>,
    /// This runner's name [default: made from the host name and kept in the data folder]
    #[arg(long, env = "THUMP_NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct CheckOptions {
    /// The pipeline file
    #[arg(default_value = ".thump.toml", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print the jobs as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct ConfigOptions {
    #[command(subcommand)]
    pub(crate) what: ConfigCommand,
}

#[derive(Debug, Subcommand, Clone)]
pub(crate) enum ConfigCommand {
    /// Every setting of `up`, its value and which layer gave it
    Show(Box<UpOptions>),
}

#[derive(Debug, Args, Clone)]
pub(crate) struct CompletionsOptions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Which Thump is asked, and how the answer is printed.
#[derive(Debug, Args, Clone)]
pub(crate) struct ServerOptions {
    /// The Thump to ask
    #[arg(long, env = "THUMP_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7411")]
    pub(crate) server: String,
    /// Print JSON as the API gives it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct BuildsOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Only this commit (at least 4 digits of its id)
    #[arg(long, value_name = "SHA")]
    pub(crate) commit: Option<String>,
    /// Only this repository
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// Only this ref, for example main
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) ref_name: Option<String>,
    /// At most this many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// A build's id, or a commit (its newest build)
    pub(crate) build: String,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// A job's id, or a build's id or a commit whose only job (or the one named by --job) is meant
    pub(crate) target: String,
    /// The job's name within the build
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// Go on until the job has its verdict
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct WaitOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// The commit (at least 4 digits of its id)
    pub(crate) commit: String,
    /// Only this repository
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// Give up after this many seconds (exit code 124)
    #[arg(long, value_name = "S")]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct TargetOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// The id of a job; with cancel also of a build
    pub(crate) id: String,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct DeadOptions {
    #[command(flatten)]
    pub(crate) list: DeadList,
    #[command(subcommand)]
    pub(crate) what: Option<DeadCommand>,
}

#[derive(Debug, Subcommand, Clone)]
pub(crate) enum DeadCommand {
    /// Show one entry with all evidence
    Show(DeadShow),
    /// Run parked jobs again, as new jobs that are linked to them
    Replay(DeadIds),
    /// Take entries off the list; they stay in history
    Discard(DeadIds),
}

#[derive(Debug, Args, Clone)]
pub(crate) struct DeadList {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Only what stands behind this entry in the list
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<String>,
    /// At most this many
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct DeadShow {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// The entry's id, as `thump dead` lists it
    pub(crate) id: String,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct DeadIds {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Ids of entries, as `thump dead` lists them
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}
