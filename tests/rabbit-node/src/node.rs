//! One private node: how it is started, hurt, revived and ended.

use crate::{
    NodeError,
    folder::NodeFolder,
    locate::Installation,
    processes::Process,
    watcher::{Charge, Watcher},
};
use rustix::process::Signal;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    thread::sleep,
    time::{Duration, Instant},
};

/// A boot takes 4 to 8 s of a free core; several at once on a busy two-core machine take a multiple.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
/// A healthy node stops in 1 to 2 s.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Each with other ports, see [`NodeError::worth_retrying`].
const BOOT_TRIES: usize = 3;
const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// First byte of a method frame: the node says `connection.start`.
const METHOD_FRAME: u8 = 1;

/// A private RabbitMQ node with its own ports, data, name and log.
///
/// The drop kills every process of it and removes its folder. User `guest` with password `guest` may do everything.
#[derive(Debug)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) installation: Installation,
    // Before the folder: fields are dropped in this order, and the watcher removes the folder's content.
    watcher: Mutex<Watcher>,
    pub(crate) folder: NodeFolder,
    /// Numbers virtual hosts and expressions.
    pub(crate) counter: AtomicU64,
}

/// Options of a node; what is not set is as small and quick as possible.
#[derive(Debug, Clone, Default)]
pub struct NodeBuilder {
    pub(crate) conf: Vec<String>,
    pub(crate) plugins: Vec<String>,
    pub(crate) definitions: Option<String>,
}

impl NodeBuilder {
    /// Adds a line to `rabbitmq.conf`; the same key again replaces the value, ours included.
    #[must_use]
    pub fn conf(mut self, line: impl Into<String>) -> Self {
        self.conf.push(line.into());
        self
    }

    /// Enables a plugin, for example `rabbitmq_management`; each makes the boot slower.
    #[must_use]
    pub fn plugin(mut self, name: impl Into<String>) -> Self {
        self.plugins.push(name.into());
        self
    }

    /// Loads definitions (the JSON text itself) at each boot. They must name their own users: with definitions,
    /// RabbitMQ does not create `guest`.
    #[must_use]
    pub fn definitions(mut self, json: impl Into<String>) -> Self {
        self.definitions = Some(json.into());
        self
    }

    /// Boots the node; returns when it answers AMQP clients.
    ///
    /// # Errors
    ///
    /// No server is installed, or it ended or hung while booting.
    pub async fn start(self) -> Result<Node, NodeError> {
        blocking(move || self.start_blocking()).await
    }

    pub(crate) fn start_blocking(self) -> Result<Node, NodeError> {
        let mut tries = 1;
        loop {
            match self.try_start() {
                Err(taken) if taken.worth_retrying() && tries < BOOT_TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    fn try_start(&self) -> Result<Node, NodeError> {
        let installation = Installation::find()?;
        let folder = NodeFolder::create(&installation, self)?;
        let server = folder.scripts.join("rabbitmq-server");
        let watcher = Watcher::start(&Charge {
            epmd: &installation.epmd,
            epmd_port: folder.ports.epmd,
            server: &server,
            folder: folder.path(),
            environment: &folder.environment,
        })?;
        let inner = Inner { installation, watcher: Mutex::new(watcher), folder, counter: AtomicU64::new(1) };
        inner.boot()?;
        Ok(Node { inner: Arc::new(inner) })
    }
}

impl Node {
    /// Boots a node without plugins; see [`Node::builder`] for more.
    ///
    /// # Errors
    ///
    /// As [`NodeBuilder::start`].
    pub async fn start() -> Result<Self, NodeError> {
        NodeBuilder::default().start().await
    }

    /// Options first, then [`NodeBuilder::start`].
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Where AMQP clients connect; the same after every restart.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.inner.folder.ports.amqp).into()
    }

    /// The AMQP URL of the default virtual host `/`, as guest.
    pub fn url(&self) -> String {
        self.url_for("/", "guest", "guest")
    }

    /// The AMQP URL of a virtual host for a user, escaped as URLs need it.
    pub fn url_for(&self, vhost: &str, user: &str, password: &str) -> String {
        let (vhost, user, password) = (escaped(vhost), escaped(user), escaped(password));
        format!("amqp://{user}:{password}@{}/{vhost}", self.address())
    }

    /// The management API's URL, without a slash at the end; it answers if the plugin `rabbitmq_management` is on.
    pub fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.inner.folder.ports.management)
    }

    /// Kills the server as a power cut would: no connection is closed, nothing is flushed. Fine if it is down already.
    ///
    /// # Errors
    ///
    /// Only if the watcher is gone.
    pub async fn kill(&self) -> Result<(), NodeError> {
        self.with(|inner| inner.watcher().down()).await
    }

    /// Boots on the same data and ports; returns when the node answers. Kills the server first if it is up.
    ///
    /// # Errors
    ///
    /// The server ended or hung while booting.
    pub async fn restart(&self) -> Result<(), NodeError> {
        self.with(Inner::boot).await
    }

    /// Stops as `systemctl stop` would: clients are told, data is flushed. Kills what has not stopped after 30 s.
    ///
    /// # Errors
    ///
    /// The node is down, or the watcher is gone.
    pub async fn stop_gracefully(&self) -> Result<(), NodeError> {
        self.with(|inner| {
            let mut watcher = inner.watcher();
            let server = watcher.server.ok_or(NodeError::Down)?;
            server.signal(Signal::TERM);
            server.wait_gone(STOP_LIMIT);
            watcher.down()
        })
        .await
    }

    /// Stops the server's clock: connections stay open and nothing answers, until [`Node::thaw`].
    ///
    /// # Errors
    ///
    /// The node is down.
    pub fn freeze(&self) -> Result<(), NodeError> {
        self.inner.server()?.signal(Signal::STOP);
        Ok(())
    }

    /// Ends [`Node::freeze`].
    ///
    /// # Errors
    ///
    /// The node is down.
    pub fn thaw(&self) -> Result<(), NodeError> {
        self.inner.server()?.signal(Signal::CONT);
        Ok(())
    }

    /// Empties the data folder of a node that is down: after the next restart no queue, message, virtual host or user
    /// is left, only what a first boot makes.
    ///
    /// # Errors
    ///
    /// The node is up, or the disk refuses.
    pub async fn wipe(&self) -> Result<(), NodeError> {
        self.with(|inner| if inner.server().is_ok() { Err(NodeError::Up) } else { inner.folder.empty_data() }).await
    }

    /// What the node wrote so far: warnings and errors, unless `log.file.level` was set otherwise.
    pub fn log(&self) -> String {
        self.inner.folder.log()
    }

    /// Process numbers of all that belongs to the node: its watcher, port mapper, server and the server's helpers.
    pub fn pids(&self) -> Vec<u32> {
        let family = self.inner.watcher().family();
        family.iter().map(|process| process.pid.as_raw_nonzero().get().cast_unsigned()).collect()
    }

    /// Runs blocking work on this node without holding up the runtime. The work keeps the node alive: a caller that
    /// stops waiting leaves no half-made state behind.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

impl Inner {
    fn watcher(&self) -> MutexGuard<'_, Watcher> {
        // A panic under the lock leaves a pipe and two numbers, all still right.
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn server(&self) -> Result<Process, NodeError> {
        self.watcher().server.ok_or(NodeError::Down)
    }

    fn boot(&self) -> Result<(), NodeError> {
        let mut watcher = self.watcher();
        let deadline = Instant::now() + BOOT_LIMIT;
        let failed = || NodeError::BootFailed { last_words: self.folder.last_words() };
        // First the port mapper: a server that finds none starts a daemon of its own, which nobody would end.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.folder.ports.epmd)).is_err() {
            if !watcher.epmd.runs() || Instant::now() > deadline {
                return Err(NodeError::BootFailed { last_words: "epmd: port already in use".to_owned() });
            }
            sleep(POLL);
        }
        let server = watcher.up()?;
        while !answers((Ipv4Addr::LOCALHOST, self.folder.ports.amqp).into()) {
            if !server.runs() {
                watcher.down()?;
                return Err(failed());
            }
            if Instant::now() > deadline {
                watcher.down()?;
                return Err(NodeError::BootTimedOut {
                    seconds: BOOT_LIMIT.as_secs(),
                    last_words: self.folder.last_words(),
                });
            }
            sleep(POLL);
        }
        Ok(())
    }
}

/// Whether an AMQP server opens the conversation there.
fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(PROTOCOL_HEADER)?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok::<_, std::io::Error>(first == [METHOD_FRAME])
    };
    ask().unwrap_or(false)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(NodeError::Interrupted))
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}
