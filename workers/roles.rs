//! One role as a process of its own, over RabbitMQ. Wiring only.

use std::path::{Path, PathBuf};

use broker::{Broker, Role};
use messages::{ObserverName, RunnerName};
use store::Ledger;
use tokio::net::TcpListener;

use crate::cli::{DispatchOptions, ObserveOptions, RunOptions};
use crate::exit::Exit;
use crate::inspect::say;
use crate::settings::{Settings, Typed};
use crate::shutdown::Shutdown;

/// `thump observe`
pub(crate) async fn observe(options: ObserveOptions) -> Result<Exit, Exit> {
    let settings = Settings::resolve(&Typed {
        data: Some(&options.data),
        broker: Some(&options.broker),
        watch: Some(&options.watch),
        ..Typed::default()
    })?;
    let url = settings.rabbit_url()?;
    let shutdown = Shutdown::listen().map_err(|cause| Exit::failed(format!("listen for signals: {cause}")))?;
    let observing = observing(&settings, options.name.as_deref())?;
    say_watched(&observing);
    let broker = connect(url, &format!("observer {}", observing.name), false, &shutdown).await?;
    observer::run(observing, broker.clone(), shutdown.drain.clone())
        .await
        .map_err(|cause| Exit::failed(cause.to_string()))?;
    broker.close().await;
    Ok(Exit::GOOD)
}

/// `thump dispatch`
pub(crate) async fn dispatch(options: DispatchOptions) -> Result<Exit, Exit> {
    let settings = Settings::resolve(&Typed {
        data: Some(&options.data),
        broker: Some(&options.broker),
        serve: Some(&options.serve),
        ..Typed::default()
    })?;
    let url = settings.rabbit_url()?;
    let shutdown = Shutdown::listen().map_err(|cause| Exit::failed(format!("listen for signals: {cause}")))?;
    let ledger = open_ledger(&settings).await?;
    let listener = bind(&settings).await?;
    let address = listener.local_addr().map_err(|cause| Exit::failed(format!("listen: {cause}")))?;
    say(&format!("page      http://{address}"));

    // The page is up before the broker is: it is where people look when the broker is away.
    let stop_serving = tokio_util::sync::CancellationToken::new();
    let broker = Broker::rabbit(url, role("dispatcher", true)).map_err(|cause| Exit::usage(cause.to_string()))?;
    let dispatching = dispatching();
    let page = tokio::spawn(dashboard::serve(
        listener,
        settings.hosts.value.clone(),
        ledger.clone(),
        broker.clone(),
        vec![watched(&dispatching)],
        stop_serving.clone(),
    ));
    let outcome = match until_up(&broker, &shutdown).await {
        Ok(()) => dispatcher::run(dispatching, broker.clone(), ledger.clone(), shutdown.drain.clone())
            .await
            .map_err(|cause| Exit::failed(cause.to_string())),
        Err(exit) => Err(exit),
    };
    stop_serving.cancel();
    drop(page.await);
    broker.close().await;
    close_ledger(&ledger).await;
    outcome.map(|()| Exit::GOOD)
}

/// `thump run`
pub(crate) async fn run(options: RunOptions) -> Result<Exit, Exit> {
    let settings = Settings::resolve(&Typed {
        data: Some(&options.data),
        broker: Some(&options.broker),
        runner: Some(&options.runner),
        pool: options.pool.as_deref(),
        ..Typed::default()
    })?;
    let url = settings.rabbit_url()?;
    let shutdown = Shutdown::listen().map_err(|cause| Exit::failed(format!("listen for signals: {cause}")))?;
    let name = options.name.as_deref().map(str::parse::<RunnerName>).transpose();
    let running = running(&settings, name.map_err(|cause| Exit::usage(cause.to_string()))?)?;
    let broker = connect(url, &format!("runner of {}", settings.pool.value), false, &shutdown).await?;
    let stop = runner::Stop { drain: shutdown.drain.clone(), now: shutdown.now.clone() };
    runner::run(running, broker.clone(), stop).await.map_err(|cause| Exit::failed(cause.to_string()))?;
    broker.close().await;
    Ok(Exit::GOOD)
}

// ---- parts that `up` uses as well -------------------------------------------------------------------

/// The observer's settings; refuses what is no repository, and state inside of one.
pub(crate) fn observing(settings: &Settings, name: Option<&str>) -> Result<observer::Settings, Exit> {
    let data = folder(&settings.data.value, "observer")?;
    let mut typed = settings.repositories.value.clone();
    if typed.is_empty() {
        typed.push(".".into());
    }
    let repositories = observer::resolve(&typed, &data).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Exit::usage(lines.join("\nerror: "))
    })?;
    for watched in &repositories {
        if let observer::Location::Local(path) = &watched.location {
            refuse_state_inside(&settings.data.value, path)?;
        }
    }
    let name = match name {
        Some(name) => name.parse().map_err(|cause: messages::InvalidName| Exit::usage(cause.to_string()))?,
        None => observer_name(&data)?,
    };
    let mut observing = observer::Settings::new(name, data, repositories);
    observing.poll = settings.poll.value;
    observing.max_commits = settings.max_commits.value;
    observing.depth = if settings.tips_only.value { observer::Depth::TipsOnly } else { observer::Depth::EveryCommit };
    observing.branches = settings.branches.value.clone();
    observing.tags = settings.tags.value.clone();
    Ok(observing)
}

/// Says what is watched, and under which names.
pub(crate) fn say_watched(observing: &observer::Settings) {
    for watched in &observing.repositories {
        say(&format!("watching  {}  {}", watched.source.name, crate::verdicts::shown(&watched.source.url)));
        for also in &watched.also_typed {
            say(&format!("          {} is the same repository and is watched once", crate::verdicts::shown(also)));
        }
    }
}

/// The dispatcher's settings.
pub(crate) fn dispatching() -> dispatcher::Settings {
    dispatcher::Settings { name: format!("{} {}", host_name(), std::process::id()), ..dispatcher::Settings::default() }
}

/// The dispatcher, for the health page.
pub(crate) fn watched(dispatching: &dispatcher::Settings) -> dashboard::Watched {
    let pulse = dispatching.pulse.clone();
    dashboard::Watched { name: "dispatcher", fault: Box::new(move || pulse.fault()) }
}

/// The runner's settings.
pub(crate) fn running(settings: &Settings, name: Option<RunnerName>) -> Result<runner::Settings, Exit> {
    // Not the path: this one still is this program after its file was replaced by an upgrade.
    let supervisor = PathBuf::from("/proc/self/exe");
    let data = folder(&settings.data.value, "runners")?;
    let mut running = runner::Settings::new(data, supervisor);
    running.name = name;
    running.pool = settings.pool.value.clone();
    running.slots = settings.slots.value;
    running.drain_limit = settings.drain.value;
    running.max_log_bytes = settings.max_log_bytes.value;
    Ok(running)
}

/// Opens the ledger, or says what is in the way.
pub(crate) async fn open_ledger(settings: &Settings) -> Result<Ledger, Exit> {
    let data = folder(&settings.data.value, "dispatcher")?;
    Ledger::open(&settings.store.value, &data).await.map_err(|cause| Exit::failed(cause.to_string()))
}

/// After the last write: makes the ledger's main file whole.
pub(crate) async fn close_ledger(ledger: &Ledger) {
    if let Err(cause) = ledger.close().await {
        tracing::warn!(%cause, "the ledger's main file is not whole yet; the rest lies in the -wal file beside it");
    }
}

/// Takes the port of page and API.
pub(crate) async fn bind(settings: &Settings) -> Result<TcpListener, Exit> {
    let listen = settings.listen.value;
    TcpListener::bind(listen).await.map_err(|cause| {
        let remedy = if cause.kind() == std::io::ErrorKind::AddrInUse {
            "\n  try   --listen with another port; 0 takes a free one"
        } else {
            ""
        };
        Exit::failed(format!("listen on {listen} (from {}): {cause}{remedy}", settings.listen.origin))
    })
}

/// Who connects.
pub(crate) fn role(name: &str, declares_topology: bool) -> Role {
    Role { name: name.to_owned(), declares_topology }
}

/// A folder of a role's own below the data folder.
fn folder(data: &Path, name: &str) -> Result<PathBuf, Exit> {
    let path = data.join(name);
    std::fs::create_dir_all(&path).map_err(|cause| {
        Exit::failed(format!(
            "make the state folder {}: {cause}\n  try   --data DIR with a folder you may write to",
            path.display()
        ))
    })?;
    Ok(path)
}

async fn connect(url: &str, name: &str, declares: bool, shutdown: &Shutdown) -> Result<Broker, Exit> {
    let broker = Broker::rabbit(url, role(name, declares)).map_err(|cause| Exit::usage(cause.to_string()))?;
    until_up(&broker, shutdown).await?;
    Ok(broker)
}

/// Waits for the broker, however long it takes, but not past a stop.
pub(crate) async fn until_up(broker: &Broker, shutdown: &Shutdown) -> Result<(), Exit> {
    tokio::select! {
        up = broker.wait_until_up() => up.map_err(|refused| Exit::not_found(refused.to_string())),
        // Told to stop, it stops: as good an end as any later one.
        () = shutdown.drain.cancelled() => Err(Exit::GOOD),
    }
}

/// State inside a watched working tree would be tested, committed or deleted by it.
fn refuse_state_inside(data: &Path, repository: &Path) -> Result<(), Exit> {
    let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    let tree = if repository.file_name().is_some_and(|name| name == ".git") {
        repository.parent().unwrap_or(repository)
    } else {
        repository
    };
    let tree = std::fs::canonicalize(tree).unwrap_or_else(|_| tree.to_owned());
    if data.starts_with(&tree) {
        return Err(Exit::usage(format!(
            "the state folder {} lies inside the watched repository {}\n  try   --data with a folder outside of it",
            data.display(),
            tree.display()
        )));
    }
    Ok(())
}

/// The observer's name, made once and kept beside its cursors, so that `recorded` finds it again.
fn observer_name(data: &Path) -> Result<ObserverName, Exit> {
    let path = data.join("name");
    if let Ok(text) = std::fs::read_to_string(&path)
        && let Ok(name) = text.trim().parse()
    {
        return Ok(name);
    }
    let incarnation = uuid::Uuid::new_v4().simple().to_string();
    let text = format!("{}-{}", host_name(), &incarnation[..6]);
    let name = text.parse().map_err(|cause: messages::InvalidName| Exit::failed(cause.to_string()))?;
    std::fs::write(&path, text).map_err(|cause| Exit::failed(format!("write {}: {cause}", path.display())))?;
    Ok(name)
}

/// The host's name in the alphabet of names, at most 40 characters.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let clean = clean.trim_matches('-').to_owned();
    if clean.is_empty() { "host".into() } else { clean }
}
