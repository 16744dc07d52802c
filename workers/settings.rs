//! From what was typed to what is meant: flag over environment over `thump.toml` over default.
//!
//! Only checked values leave this file, and each remembers which layer gave it. A value that cannot
//! work is refused here, with the layer and the remedy in the message.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messages::PoolName;

use crate::cli::{BrokerOption, DataOption, RunnerOptions, ServeOptions, WatchOptions};
use crate::exit::Exit;
use crate::settings_file::File;

/// A value and the layer that gave it.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Which layer gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Which broker is used.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum BrokerChoice {
    /// The one inside this process.
    Embedded,
    /// RabbitMQ at this URL. It may hold a password, so it is never printed as it is.
    Rabbit(String),
}

impl fmt::Debug for BrokerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Rabbit(url) => f.write_str(&without_password(url)),
        }
    }
}

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: Setting<PathBuf>,
    pub(crate) broker: Setting<BrokerChoice>,
    pub(crate) store: Setting<String>,
    pub(crate) listen: Setting<SocketAddr>,
    pub(crate) hosts: Setting<Vec<String>>,
    pub(crate) slots: Setting<u16>,
    pub(crate) pool: Setting<PoolName>,
    pub(crate) drain: Setting<Duration>,
    pub(crate) max_log_bytes: Setting<u64>,
    pub(crate) repositories: Setting<Vec<String>>,
    pub(crate) branches: Setting<Vec<String>>,
    pub(crate) tags: Setting<Vec<String>>,
    pub(crate) tips_only: Setting<bool>,
    pub(crate) max_commits: Setting<usize>,
    pub(crate) poll: Setting<Duration>,
}

/// What was typed, as far as the command has such options.
#[derive(Default)]
pub(crate) struct Typed<'a> {
    pub(crate) data: Option<&'a DataOption>,
    pub(crate) broker: Option<&'a BrokerOption>,
    pub(crate) watch: Option<&'a WatchOptions>,
    pub(crate) serve: Option<&'a ServeOptions>,
    pub(crate) runner: Option<&'a RunnerOptions>,
    pub(crate) pool: Option<&'a str>,
}

impl Settings {
    /// Merges the layers and checks every value.
    pub(crate) fn resolve(typed: &Typed<'_>) -> Result<Self, Exit> {
        let data = data_folder(typed.data)?;
        let (file, path) = read_file(typed.data, &data.value)?;
        let layers = Layers { path };
        let watch = typed.watch;
        let list = |given: Option<&Vec<String>>| given.filter(|list| !list.is_empty()).cloned();

        let broker = match layers.secret("broker", typed.broker.and_then(|o| o.broker.clone()), file.broker)? {
            Some(Setting { value, origin }) => {
                let value = if value == "embedded" { BrokerChoice::Embedded } else { BrokerChoice::Rabbit(value) };
                Setting { value, origin }
            }
            None => Setting { value: BrokerChoice::Embedded, origin: Origin::Default },
        };
        let ledger = format!("sqlite:{}", data.value.join("dispatcher/ledger.db").display());
        let listen =
            layers.pick("listen", typed.serve.and_then(|o| o.listen.clone()), file.listen, "127.0.0.1:7411".into());
        let pool = layers.pick("pool", typed.pool.map(str::to_owned), file.pool, PoolName::DEFAULT.into());
        let seconds =
            |setting: Setting<u64>| Setting { value: Duration::from_secs(setting.value), origin: setting.origin };
        let settings = Self {
            store: layers.pick("store", typed.serve.and_then(|o| o.store.clone()), file.store, ledger),
            listen: checked(
                "listen",
                listen,
                |text| text.parse::<SocketAddr>().ok(),
                "an address and a port such as 127.0.0.1:7411",
            )?,
            hosts: layers.pick("host", list(typed.serve.map(|o| &o.hosts)), file.hosts, Vec::new()),
            slots: layers.pick("slots", typed.runner.and_then(|o| o.slots), file.slots, processors()),
            pool: checked("pool", pool, |text| text.parse().ok(), "1 to 63 of a-z, 0-9 and '-'")?,
            drain: seconds(layers.pick(
                "drain-seconds",
                typed.runner.and_then(|o| o.drain_seconds),
                file.drain_seconds,
                600,
            )),
            max_log_bytes: layers.pick(
                "max-log-bytes",
                typed.runner.and_then(|o| o.max_log_bytes),
                file.max_log_bytes,
                64 << 20,
            ),
            repositories: layers.pick(
                "repositories",
                list(watch.map(|o| &o.repositories)),
                file.repositories,
                Vec::new(),
            ),
            branches: layers.pick("branch", list(watch.map(|o| &o.branches)), file.branches, vec!["*".into()]),
            tags: layers.pick("tag", list(watch.map(|o| &o.tags)), file.tags, Vec::new()),
            tips_only: layers.pick("tips-only", watch.filter(|o| o.tips_only).map(|_| true), file.tips_only, false),
            max_commits: layers.pick("max-commits", watch.and_then(|o| o.max_commits), file.max_commits, 1000),
            poll: seconds(layers.pick("poll-seconds", watch.and_then(|o| o.poll_seconds), file.poll_seconds, 10)),
            data,
            broker,
        };
        settings.at_least(
            "slots",
            &settings.slots,
            u64::from(settings.slots.value),
            1,
            "this runner would never take a job",
        )?;
        settings.at_least(
            "max-commits",
            &settings.max_commits,
            settings.max_commits.value as u64,
            1,
            "no commit would be tested",
        )?;
        settings.at_least(
            "poll-seconds",
            &settings.poll,
            settings.poll.value.as_secs(),
            1,
            "the repository would be asked without a pause",
        )?;
        settings.at_least(
            "max-log-bytes",
            &settings.max_log_bytes,
            settings.max_log_bytes.value,
            1024,
            "no log could be read",
        )?;
        Ok(settings)
    }

    fn at_least<T>(
        &self,
        name: &str,
        setting: &Setting<T>,
        value: u64,
        least: u64,
        otherwise: &str,
    ) -> Result<(), Exit> {
        if value >= least {
            return Ok(());
        }
        Err(Exit::usage(format!(
            "{name} is {value}, so {otherwise}\n  from  {}\n  try   {least} or more",
            setting.origin
        )))
    }

    /// The URL of RabbitMQ, for the roles that cannot do without one.
    pub(crate) fn rabbit_url(&self) -> Result<&str, Exit> {
        match &self.broker.value {
            BrokerChoice::Rabbit(url) => Ok(url),
            BrokerChoice::Embedded => Err(Exit::usage(
                "a role of its own needs RabbitMQ, the embedded broker lives inside `thump up`\n  try   --broker amqp://user:password@host:5672/vhost, or THUMP_BROKER, or THUMP_BROKER_FILE",
            )),
        }
    }

    /// Name, value and origin of every setting, in the order of the documentation.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String, &Origin)> {
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        vec![
            ("data", self.data.value.display().to_string(), &self.data.origin),
            ("broker", format!("{:?}", self.broker.value), &self.broker.origin),
            ("store", self.store.value.clone(), &self.store.origin),
            ("listen", self.listen.value.to_string(), &self.listen.origin),
            ("hosts", self.hosts.value.join(", "), &self.hosts.origin),
            ("slots", self.slots.value.to_string(), &self.slots.origin),
            ("pool", self.pool.value.to_string(), &self.pool.origin),
            ("drain_seconds", seconds(self.drain.value), &self.drain.origin),
            ("max_log_bytes", self.max_log_bytes.value.to_string(), &self.max_log_bytes.origin),
            ("repositories", self.repositories.value.join(", "), &self.repositories.origin),
            ("branches", self.branches.value.join(", "), &self.branches.origin),
            ("tags", self.tags.value.join(", "), &self.tags.origin),
            ("tips_only", self.tips_only.value.to_string(), &self.tips_only.origin),
            ("max_commits", self.max_commits.value.to_string(), &self.max_commits.origin),
            ("poll_seconds", seconds(self.poll.value), &self.poll.origin),
        ]
    }
}

/// The file's place, to name it as an origin.
struct Layers {
    path: PathBuf,
}

impl Layers {
    fn pick<T>(&self, name: &'static str, typed: Option<T>, file: Option<T>, default: T) -> Setting<T> {
        match (typed, file) {
            (Some(value), _) => Setting { value, origin: typed_origin(name) },
            (None, Some(value)) => Setting { value, origin: Origin::File(self.path.clone()) },
            (None, None) => Setting { value: default, origin: Origin::Default },
        }
    }

    /// A value that may hold a secret: the environment may also name a file that holds it.
    fn secret(
        &self,
        name: &'static str,
        typed: Option<String>,
        file: Option<String>,
    ) -> Result<Option<Setting<String>>, Exit> {
        let variable = format!("THUMP_{}_FILE", name.to_uppercase());
        if typed.is_none()
            && let Some(path) = std::env::var_os(&variable)
        {
            let text = std::fs::read_to_string(&path)
                .map_err(|cause| Exit::usage(format!("{variable} names {}: {cause}", Path::new(&path).display())))?;
            return Ok(Some(Setting { value: text.trim().to_owned(), origin: Origin::Environment(variable) }));
        }
        Ok(match (typed, file) {
            (Some(value), _) => Some(Setting { value, origin: typed_origin(name) }),
            (None, Some(value)) => Some(Setting { value, origin: Origin::File(self.path.clone()) }),
            (None, None) => None,
        })
    }
}

/// Whether a typed value came by flag or by environment.
fn typed_origin(name: &'static str) -> Origin {
    let flag = format!("--{name}");
    let typed = std::env::args().any(|word| word == flag || word.starts_with(&format!("{flag}=")));
    let variable = match name {
        "branch" => "THUMP_BRANCHES".to_owned(),
        "tag" => "THUMP_TAGS".to_owned(),
        "host" => "THUMP_HOSTS".to_owned(),
        _ => format!("THUMP_{}", name.replace('-', "_").to_uppercase()),
    };
    if !typed && std::env::var_os(&variable).is_some() { Origin::Environment(variable) } else { Origin::Flag(name) }
}

fn checked<T>(
    name: &str,
    setting: Setting<String>,
    parse: impl Fn(&str) -> Option<T>,
    needs: &str,
) -> Result<Setting<T>, Exit> {
    match parse(&setting.value) {
        Some(value) => Ok(Setting { value, origin: setting.origin }),
        None => {
            Err(Exit::usage(format!("{name} is {:?}, which is not {needs}\n  from  {}", setting.value, setting.origin)))
        }
    }
}

fn data_folder(typed: Option<&DataOption>) -> Result<Setting<PathBuf>, Exit> {
    let (path, origin) = match typed.and_then(|option| option.data.clone()) {
        Some(path) => (path, typed_origin("data")),
        None => (default_data_folder()?, Origin::Default),
    };
    let path =
        std::path::absolute(&path).map_err(|cause| Exit::usage(format!("--data {}: {cause}", path.display())))?;
    Ok(Setting { value: path, origin })
}

/// `$XDG_STATE_HOME/thump`, else `~/.local/state/thump` (XDG Base Directory Specification).
fn default_data_folder() -> Result<PathBuf, Exit> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("thump"))
        .ok_or_else(|| {
            Exit::usage("neither XDG_STATE_HOME nor HOME is set, so there is no place for state\n  try   --data DIR")
        })
}

fn read_file(typed: Option<&DataOption>, data: &Path) -> Result<(File, PathBuf), Exit> {
    let named = typed.and_then(|option| option.config.clone());
    let path = named.clone().unwrap_or_else(|| data.join("thump.toml"));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let file = File::read(&text).map_err(|cause| Exit::usage(format!("{}: {cause}", path.display())))?;
            Ok((file, path))
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok((File::default(), path)),
        Err(cause) => Err(Exit::usage(format!("read the settings {}: {cause}", path.display()))),
    }
}

fn processors() -> u16 {
    std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX))
}

/// A URL as it may be shown.
fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        // Anything else may hold a password in a place of its own: `user:password@host` parses as well.
        Ok(mut url) if matches!(url.scheme(), "amqp" | "amqps") => {
            if url.password().is_some() && url.set_password(Some("hidden")).is_err() {
                return "(hidden)".into();
            }
            url.to_string()
        }
        _ => "(not an AMQP URL)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let choice = BrokerChoice::Rabbit("amqp://me:swordfish@host/v".into());
        assert!(!format!("{choice:?}").contains("swordfish"));
        let garbage = BrokerChoice::Rabbit("me:swordfish@host".into());
        assert!(!format!("{garbage:?}").contains("swordfish"));
    }

    #[test]
    fn an_unknown_key_in_the_file_is_refused_with_its_place() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("thump.toml"), "slots = 2\nslosts = 3\n").expect("write");
        let data = DataOption { data: Some(folder.path().into()), config: None };
        let refused = Settings::resolve(&Typed { data: Some(&data), ..Typed::default() }).expect_err("refused");
        assert!(format!("{refused:?}").contains("slosts"), "{refused:?}");
    }

    #[test]
    fn the_file_counts_where_nothing_was_typed_and_is_named_as_the_origin() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("thump.toml"), "slots = 3\nlisten = \"127.0.0.1:1\"\n").expect("write");
        let data = DataOption { data: Some(folder.path().into()), config: None };
        let serve = ServeOptions { listen: Some("127.0.0.1:2".into()), hosts: Vec::new(), store: None };
        let typed = Typed { data: Some(&data), serve: Some(&serve), ..Typed::default() };
        let settings = Settings::resolve(&typed).expect("fine");
        assert_eq!(settings.slots.value, 3);
        assert!(matches!(settings.slots.origin, Origin::File(_)));
        assert_eq!(settings.listen.value.port(), 2);
    }

    #[test]
    fn zero_slots_are_refused_with_a_remedy() {
        let folder = tempfile::tempdir().expect("folder");
        let data = DataOption { data: Some(folder.path().into()), config: None };
        let runner = RunnerOptions { slots: Some(0), drain_seconds: None, max_log_bytes: None };
        let typed = Typed { data: Some(&data), runner: Some(&runner), ..Typed::default() };
        let refused = Settings::resolve(&typed).expect_err("refused");
        assert!(format!("{refused:?}").contains("never take a job"));
    }
}
