//! Writes a node's folder: everything the server reads or writes lies here, and nothing of the machine's own RabbitMQ.

use crate::{NodeBuilder, NodeError, locate::Installation, ports, slim};
use std::{
    env,
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The ports of one node, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) amqp: u16,
    /// Between Erlang nodes, which includes `rabbitmqctl`.
    pub(crate) distribution: u16,
    pub(crate) epmd: u16,
    pub(crate) management: u16,
}

/// A node's folder, ready for a first boot.
#[derive(Debug)]
pub(crate) struct NodeFolder {
    root: TempDir,
    /// The real server scripts to run for this node.
    pub(crate) scripts: PathBuf,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) ports: Ports,
}

impl NodeFolder {
    pub(crate) fn create(installation: &Installation, options: &NodeBuilder) -> Result<Self, NodeError> {
        let root = tempfile::Builder::new()
            .prefix("rabbit-node-")
            .tempdir()
            .map_err(NodeError::os("create a folder in", env::temp_dir()))?;
        let [amqp, distribution, epmd, management] = ports::free()?;
        let ports = Ports { amqp, distribution, epmd, management };
        let path = root.path();
        for name in ["data", "log", "schema", "conf.d", "home"] {
            fs::create_dir(path.join(name)).map_err(NodeError::os("create", path.join(name)))?;
        }
        write(path, "rabbitmq.conf", &conf(path, ports, options))?;
        write(path, "plugins", &format!("[{}].\n", options.plugins.join(",")))?;
        // Empty, but there: without it the scripts read the machine's own.
        write(path, "env.conf", "")?;
        if let Some(definitions) = &options.definitions {
            write(path, "definitions.json", definitions)?;
        }
        let cookie = write(path, "home/.erlang.cookie", &format!("{:016X}", ports::random()))?;
        fs::set_permissions(&cookie, Permissions::from_mode(0o400)).map_err(NodeError::os("protect", &cookie))?;

        let scripts = slim::server(&installation.scripts, &path.join("server"), &options.plugins)?;
        let environment = environment(path, ports);
        Ok(Self { scripts, environment, ports, root })
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Forgets queues, messages, users: the disk is lost, the machine is not.
    pub(crate) fn empty_data(&self) -> Result<(), NodeError> {
        let data = self.path().join("data");
        fs::remove_dir_all(&data).map_err(NodeError::os("remove", &data))?;
        fs::create_dir(&data).map_err(NodeError::os("create", &data))
    }

    /// What the node wrote: first to the console (a failed boot speaks there), then to its log.
    pub(crate) fn log(&self) -> String {
        let logs = fs::read_dir(self.path().join("log")).into_iter().flatten().flatten().map(|entry| entry.path());
        std::iter::once(self.path().join("console"))
            .chain(logs)
            .filter_map(|file| fs::read(file).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    /// The telling part of [`Self::log`], for error texts: from the first error on, since Erlang follows it up with a
    /// page about its own processes; without an error, the end.
    pub(crate) fn last_words(&self) -> String {
        const ENOUGH: usize = 20;
        let log = self.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| !line.trim().is_empty() && !line.trim_end().ends_with('>')).collect();
        let first_error = lines.iter().position(|line| line.contains("[error]"));
        let from = first_error.unwrap_or(lines.len().saturating_sub(ENOUGH));
        lines.into_iter().skip(from).take(ENOUGH).collect::<Vec<_>>().join("\n")
    }
}

fn write(root: &Path, name: &str, text: &str) -> Result<PathBuf, NodeError> {
    let file = root.join(name);
    fs::write(&file, text).map_err(NodeError::os("write", &file))?;
    Ok(file)
}

fn conf(root: &Path, ports: Ports, options: &NodeBuilder) -> String {
    let Ports { amqp, management, .. } = ports;
    let mut lines = vec![
        format!("listeners.tcp.1 = 127.0.0.1:{amqp}"),
        "num_acceptors.tcp = 2".to_owned(),
        "log.console = false".to_owned(),
        "log.file.level = warning".to_owned(),
        // A test machine with little room is no reason to block publishers.
        "disk_free_limit.absolute = 1MB".to_owned(),
        "raft.wal_max_size_bytes = 33554432".to_owned(),
    ];
    if options.plugins.iter().any(|plugin| plugin == "rabbitmq_management") {
        lines.push("management.tcp.ip = 127.0.0.1".to_owned());
        lines.push(format!("management.tcp.port = {management}"));
    }
    if options.definitions.is_some() {
        lines.push(format!("load_definitions = {}", root.join("definitions.json").display()));
    }
    // Last, and the same key again replaces the one above.
    lines.extend(options.conf.iter().cloned());
    lines.join("\n") + "\n"
}

fn environment(root: &Path, ports: Ports) -> Vec<(&'static str, OsString)> {
    let text = |value: &str| OsString::from(value);
    let file = |name: &str| root.join(name).into_os_string();
    vec![
        ("PATH", env::var_os("PATH").unwrap_or_default()),
        ("LANG", text("C.UTF-8")),
        ("HOME", file("home")),
        // `localhost`, so that the machine's own name need not resolve.
        ("RABBITMQ_NODENAME", text(&format!("thump-{}@localhost", ports.amqp))),
        ("RABBITMQ_DIST_PORT", text(&ports.distribution.to_string())),
        ("ERL_EPMD_PORT", text(&ports.epmd.to_string())),
        ("ERL_EPMD_ADDRESS", text("127.0.0.1")),
        ("RABBITMQ_CTL_DIST_PORT_MIN", text("0")),
        ("RABBITMQ_CTL_DIST_PORT_MAX", text("0")),
        ("RABBITMQ_CONF_ENV_FILE", file("env.conf")),
        ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
        ("RABBITMQ_CONFIG_FILES", file("conf.d")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
        ("RABBITMQ_MNESIA_BASE", file("data")),
        ("RABBITMQ_LOG_BASE", file("log")),
        ("RABBITMQ_SCHEMA_DIR", file("schema")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", file("schema")),
        // One scheduler: test machines are small, and what is tested is not the server's speed.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            text("+S 1:1 +SDcpu 1:1 +SDio 2 +A 1 -kernel inet_dist_use_interface {127,0,0,1}"),
        ),
        // Makes the script become the server instead of its parent, so that the server's number is known.
        ("RUNNING_UNDER_SYSTEMD", text("true")),
    ]
}
