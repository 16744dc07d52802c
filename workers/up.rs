//! All roles in one process, on the embedded broker unless another one is named.
//!
//! The same commit goes the same way as between processes. A role that fails is started again, alone:
//! the others never notice more than its silence.

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::{Broker, Embedded, Weather};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::UpOptions;
use crate::exit::Exit;
use crate::inspect::{count, say};
use crate::roles::{
    bind, close_ledger, dispatching, observing, open_ledger, role, running, say_watched, until_up, watched,
};
use crate::settings::{BrokerChoice, Settings, Typed};
use crate::shutdown::Shutdown;
use crate::{once, verdicts};

/// `thump up`
pub(crate) async fn run(options: UpOptions) -> Result<Exit, Exit> {
    let settings = Settings::resolve(&Typed {
        data: Some(&options.data),
        broker: Some(&options.broker),
        watch: Some(&options.watch),
        serve: Some(&options.serve),
        runner: Some(&options.runner),
        pool: None,
    })?;
    let observing = observing(&settings, None)?;
    let _lock = lock(&settings.data.value)?;
    let shutdown = Shutdown::listen().map_err(|cause| Exit::failed(format!("listen for signals: {cause}")))?;
    let ledger = open_ledger(&settings).await?;
    let wire = Wire::new(&settings.broker.value, options.weather);
    let dispatching = dispatching();
    // The page looks at the dispatcher's own connection: only one that publishes is told of an alarm.
    let decider = wire.connect("dispatcher", true)?;
    let [observer_stands, dispatcher_stands, runner_stands] = ["observer", "dispatcher", "runner"].map(Stands::new);

    // With --once nobody has the time to look at a page, unless a place for it was asked for.
    let listener = if options.once && options.serve.listen.is_none() { None } else { Some(bind(&settings).await?) };
    let end = CancellationToken::new();
    let page = match listener {
        Some(listener) => {
            let address = listener.local_addr().map_err(|cause| Exit::failed(format!("listen: {cause}")))?;
            say(&format!("page      http://{address}"));
            let roles = [&observer_stands, &dispatcher_stands, &runner_stands].map(Stands::watched);
            Some(tokio::spawn(dashboard::serve(
                listener,
                settings.hosts.value.clone(),
                ledger.clone(),
                decider.clone(),
                roles.into_iter().chain([watched(&dispatching)]).collect(),
                end.clone(),
            )))
        }
        None => None,
    };
    say(&format!("state     {}", settings.data.value.display()));
    say_watched(&observing);

    let dispatcher = {
        let broker = decider;
        let refused = until_up(&broker, &shutdown).await;
        if let Err(exit) = refused {
            end.cancel();
            return Err(exit);
        }
        let (ledger, end) = (ledger.clone(), end.clone());
        keep_running(dispatcher_stands, end.clone(), move || {
            dispatcher::run(dispatching.clone(), broker.clone(), ledger.clone(), end.clone())
        })
    };
    let runner = {
        let broker = wire.connect("runner", false)?;
        let running = running(&settings, None)?;
        say(&format!("runner    {}", count(usize::from(settings.slots.value), "slot")));
        let stop = runner::Stop { drain: shutdown.drain.clone(), now: shutdown.now.clone() };
        keep_running(runner_stands, shutdown.drain.clone(), move || {
            runner::run(running.clone(), broker.clone(), stop.clone())
        })
    };

    let exit = if options.once {
        once::run(observing, wire.connect("observer", false)?, &ledger, &shutdown).await
    } else {
        // Until the dispatcher has stopped: what ends while this drains is printed, too.
        drop(tokio::spawn(verdicts::print_as_they_come(ledger.clone(), end.clone())));
        watch(observing, observer_stands, wire.connect("observer", false)?, &shutdown).await
    };

    // In the order of the path: nothing new, then what runs, then the ledger.
    shutdown.drain.cancel();
    join("runner", runner).await;
    end.cancel();
    join("dispatcher", dispatcher).await;
    if let Some(page) = page {
        drop(page.await);
    }
    close_ledger(&ledger).await;
    exit
}

/// Watches until a stop signal comes.
async fn watch(
    observing: observer::Settings,
    stands: Stands,
    broker: Broker,
    shutdown: &Shutdown,
) -> Result<Exit, Exit> {
    let stop = shutdown.drain.clone();
    let observer =
        keep_running(stands, stop.clone(), move || observer::run(observing.clone(), broker.clone(), stop.clone()));
    shutdown.drain.cancelled().await;
    join("observer", observer).await;
    Ok(Exit::GOOD)
}

/// Where the roles of this process meet.
enum Wire {
    Embedded(Embedded),
    /// The embedded one as a drill wants it.
    Weather(Weather),
    Rabbit(String),
}

impl Wire {
    fn new(choice: &BrokerChoice, weather: Option<u64>) -> Self {
        match choice {
            BrokerChoice::Embedded => match weather {
                None => Self::Embedded(Embedded::new()),
                Some(seed) => {
                    let weather = Weather::new(seed);
                    drop(tokio::spawn(drill::storm::blow(weather.clone(), seed)));
                    Self::Weather(weather)
                }
            },
            BrokerChoice::Rabbit(url) => Self::Rabbit(url.clone()),
        }
    }

    /// Each role has a connection of its own, as it would have in a process of its own.
    fn connect(&self, name: &str, declares: bool) -> Result<Broker, Exit> {
        match self {
            Self::Embedded(hub) => Ok(hub.connect(role(name, declares))),
            Self::Weather(weather) => Ok(weather.connect(role(name, declares))),
            Self::Rabbit(url) => {
                Broker::rabbit(url, role(name, declares)).map_err(|cause| Exit::usage(cause.to_string()))
            }
        }
    }
}

/// Whether a role of this process runs, for the health page.
struct Stands {
    name: &'static str,
    /// Why it does not.
    fault: Arc<Mutex<Option<String>>>,
}

impl Stands {
    fn new(name: &'static str) -> Self {
        Self { name, fault: Arc::default() }
    }

    fn watched(&self) -> dashboard::Watched {
        let fault = self.fault.clone();
        let fault = move || fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        dashboard::Watched { name: self.name, fault: Box::new(fault) }
    }

    fn set(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// Runs a role until it ends because `stop` asked for it; an error or a panic starts it again, with a
/// growing pause, so that one role's fault is not the end of the others.
fn keep_running<F, R, E>(stands: Stands, stop: CancellationToken, start: F) -> JoinHandle<()>
where
    F: Fn() -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let name = stands.name;
    tokio::spawn(async move {
        let mut pause = Duration::from_millis(200);
        loop {
            stands.set(None);
            let why = match tokio::spawn(start()).await {
                Ok(Ok(())) if stop.is_cancelled() => return,
                Ok(Ok(())) => "ended without being asked to".to_owned(),
                Ok(Err(cause)) => format!("failed: {cause}"),
                Err(panic) => format!("broke: {panic}"),
            };
            tracing::error!("the {name} {why}");
            if stop.is_cancelled() {
                return;
            }
            tracing::error!("starting the {name} again in {pause:?}");
            stands.set(Some(format!("{why}; it is started again")));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    })
}

async fn join(name: &str, task: JoinHandle<()>) {
    if let Err(cause) = task.await {
        tracing::error!("the {name} broke while it stopped: {cause}");
    }
}

/// One `up` per data folder: two would take each other's workspaces.
fn lock(data: &Path) -> Result<File, Exit> {
    let path = data.join("lock");
    let open = || -> std::io::Result<File> {
        std::fs::create_dir_all(data)?;
        File::options().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().map_err(|cause| {
        Exit::failed(format!("use the state folder {}: {cause}\n  try   --data DIR", data.display()))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Exit::failed(format!(
            "another thump uses {}\n  try   --data DIR with another folder, or name all repositories in one `thump up`",
            data.display()
        ))),
        Err(TryLockError::Error(cause)) => Err(Exit::failed(format!("lock {}: {cause}", path.display()))),
    }
}
