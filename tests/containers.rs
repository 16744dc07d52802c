//! The files of `docker/`, held against the real wire: users, rights and configuration on a real node, without
//! containers. That the containers themselves come up is tried by hand, see docker/README.md.

use std::path::{Path, PathBuf};
use std::process::Command;

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use rabbit_node::Node;
use tempfile::TempDir;

use crate::world::World;

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// What `docker/prepare` makes, in a folder of the story's own.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let prepare = Command::new("sh").arg(docker().join("prepare")).arg("--into").arg(folder.path()).output();
    let prepare = prepare.expect("a shell");
    assert!(prepare.status.success(), "docker/prepare: {}", String::from_utf8_lossy(&prepare.stderr));
    folder
}

/// A node with the shipped definitions and configuration, and the URL of each user.
struct Shipped {
    node: Node,
    prepared: TempDir,
}

impl Shipped {
    async fn start() -> Self {
        let prepared = prepared();
        let mut builder = Node::builder().definitions(text(&prepared.path().join("secrets/definitions.json")));
        for line in text(&docker().join("rabbitmq.conf")).lines() {
            // The node has its definitions elsewhere, and the room of a test machine is not the matter here.
            let ours = ["#", "load_definitions", "disk_free_limit"].iter().any(|start| line.starts_with(start));
            if !ours && !line.is_empty() {
                builder = builder.conf(line);
            }
        }
        Self { node: builder.start().await.expect("a node with the shipped files"), prepared }
    }

    fn url(&self, user: &str) -> String {
        let url = text(&self.prepared.path().join(format!("secrets/{user}.broker")));
        url.trim().replace("rabbitmq:5672", &self.node.address().to_string())
    }

    async fn connect(&self, user: &str) -> Connection {
        Connection::connect(&self.url(user), ConnectionProperties::default()).await.expect("the user may log in")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_work_with_the_rights_of_its_own_user() {
    let shipped = Shipped::start().await;
    let mut world = World::on_own_broker(shipped.url("dispatcher"));
    world.logins.insert("observe", shipped.url("observer"));
    world.logins.insert("run", shipped.url("runner"));
    let repository = world.repository("app");
    world.start().await;

    let green = repository.push_job("echo hello");
    assert_eq!(world.verdict(&green).await, "passed");
    world.eventually("the log of the job", || async { world.log(&green).await.contains("hello").then_some(()) }).await;
    let red = repository.push_job("false");
    assert_eq!(world.verdict(&red).await, "failed");

    // The way back: control messages and the answers to beats.
    let endless = repository.push_job(&world.until("never"));
    let job = world.running_job(&endless).await;
    let (code, _, err) = world.thump(&["cancel", job["id"].as_str().expect("an id")]).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(world.verdict(&endless).await, "cancelled");
    assert!(!shipped.node.log().contains("refused"), "{}", shipped.node.log());

    // The one thing a runner may not do itself: it leaves a message that it cannot read to the broker.
    let channel = shipped.connect("dispatcher").await.create_channel().await.expect("a channel");
    let sent = channel.basic_publish(
        "thump.jobs".into(),
        "default".into(),
        BasicPublishOptions::default(),
        b"garbage",
        BasicProperties::default(),
    );
    sent.await.expect("published");
    let after = repository.push_job("true");
    assert_eq!(world.verdict(&after).await, "passed");
    world
        .eventually("the unreadable message to be gone", || async {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare("thump.jobs.default".into(), passive, FieldTable::default()).await;
            (queue.expect("it exists").message_count() == 0).then_some(())
        })
        .await;
}

/// What somebody with the password of a role could try.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Publish { exchange: &'static str, key: &'static str },
    Consume { queue: &'static str },
    Bind { exchange: &'static str, key: &'static str },
    Declare { queue: &'static str },
    DeclareExchange,
    Delete { queue: &'static str },
}

impl Attempt {
    /// Whether the broker lets it pass.
    async fn passes(self, channel: &Channel) -> bool {
        let own = "thump.control.story.1";
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let tried = match self {
            Self::Publish { exchange, key } => {
                let nothing = BasicPublishOptions::default();
                let properties = BasicProperties::default();
                let sent = channel.basic_publish(exchange.into(), key.into(), nothing, b"forged", properties).await;
                sent.map(drop)
            }
            Self::Consume { queue } => {
                let options = BasicConsumeOptions::default();
                channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.map(drop)
            }
            Self::Bind { exchange, key } => {
                channel.queue_declare(own.into(), exclusive, FieldTable::default()).await.expect("its own queue");
                let options = QueueBindOptions::default();
                channel.queue_bind(own.into(), exchange.into(), key.into(), options, FieldTable::default()).await
            }
            Self::Declare { queue } => {
                channel.queue_declare(queue.into(), exclusive, FieldTable::default()).await.map(drop)
            }
            Self::DeclareExchange => {
                let options = ExchangeDeclareOptions::default();
                let declared =
                    channel.exchange_declare("thump.mine".into(), ExchangeKind::Topic, options, FieldTable::default());
                declared.await
            }
            Self::Delete { queue } => channel.queue_delete(queue.into(), Default::default()).await.map(drop),
        };
        // A refused publish is answered by the end of the channel, which the next question waits for.
        let alive = channel.queue_declare(own.into(), exclusive, FieldTable::default()).await;
        tried.is_ok() && alive.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_password_opens_no_other_role() {
    use Attempt::{Bind, Consume, Declare, DeclareExchange, Delete, Publish};
    let shipped = Shipped::start().await;
    // The dispatcher makes the topology.
    let mut world = World::on_own_broker(shipped.url("dispatcher"));
    world.start_dispatcher().await;
    let dispatcher = shipped.connect("dispatcher").await;
    for queue in ["thump.commits", "thump.results", "thump.logs", "thump.dead"] {
        world
            .eventually(&format!("the queue {queue}"), || async {
                let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let channel = dispatcher.create_channel().await.expect("a channel");
                channel.queue_declare(queue.into(), passive, FieldTable::default()).await.ok()
            })
            .await;
    }

    let cases = [
        ("observer", Publish { exchange: "thump.commits", key: "app" }, true),
        ("observer", Publish { exchange: "thump.jobs", key: "default" }, false),
        ("observer", Publish { exchange: "thump.results", key: "result.north" }, false),
        ("observer", Publish { exchange: "thump.control", key: "all" }, false),
        ("observer", Publish { exchange: "", key: "thump.jobs.default" }, false),
        ("observer", Consume { queue: "thump.commits" }, false),
        ("observer", Consume { queue: "thump.results" }, false),
        ("observer", Bind { exchange: "thump.control", key: "observer.west" }, true),
        ("observer", Bind { exchange: "thump.control", key: "runner.north" }, false),
        ("observer", Bind { exchange: "thump.commits", key: "#" }, false),
        ("observer", Declare { queue: "thump.jobs.mine" }, false),
        ("runner", Publish { exchange: "thump.results", key: "result.north" }, true),
        ("runner", Publish { exchange: "thump.logs", key: "north" }, true),
        ("runner", Publish { exchange: "thump.results", key: "tick" }, false),
        ("runner", Publish { exchange: "thump.commits", key: "app" }, false),
        ("runner", Publish { exchange: "thump.jobs", key: "default" }, false),
        ("runner", Publish { exchange: "thump.control", key: "all" }, false),
        ("runner", Publish { exchange: "thump.dead", key: "jobs" }, false),
        ("runner", Publish { exchange: "", key: "thump.results" }, false),
        ("runner", Consume { queue: "thump.results" }, false),
        ("runner", Consume { queue: "thump.commits" }, false),
        ("runner", Consume { queue: "thump.logs" }, false),
        ("runner", Consume { queue: "thump.dead" }, false),
        ("runner", Bind { exchange: "thump.control", key: "runner.north" }, true),
        ("runner", Bind { exchange: "thump.control", key: "#" }, false),
        ("runner", Bind { exchange: "thump.results", key: "claim.north" }, false),
        ("runner", Bind { exchange: "thump.logs", key: "#" }, false),
        ("runner", DeclareExchange, false),
        ("runner", Delete { queue: "thump.results" }, false),
        ("dispatcher", Publish { exchange: "thump.results", key: "tick" }, true),
        ("dispatcher", Declare { queue: "somebody.elses" }, false),
    ];
    for (user, attempt, allowed) in cases {
        let connection = shipped.connect(user).await;
        let channel = connection.create_channel().await.expect("a channel");
        assert_eq!(attempt.passes(&channel).await, allowed, "{user}: {attempt:?}");
    }

    // RabbitMQ's default user is not there at all, with whatever password.
    for url in [shipped.node.url(), shipped.node.url_for("thump", "guest", "guest")] {
        assert!(Connection::connect(&url, ConnectionProperties::default()).await.is_err(), "guest may log in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prepared_passwords_nobody_may_log_in() {
    let definitions = text(&docker().join("definitions.json"));
    assert!(!definitions.contains("\"password\""), "a password for everybody to read");
    let node = Node::builder().definitions(definitions).start().await.expect("a node");
    for user in ["dispatcher", "observer", "runner", "monitor", "guest"] {
        for password in ["", user] {
            let url = node.url_for("thump", user, password);
            assert!(Connection::connect(&url, ConnectionProperties::default()).await.is_err(), "{user} {password:?}");
        }
    }
}

#[test]
fn prepared_secrets_are_new_each_time_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let (first, second) = (prepared(), prepared());
    for name in ["dispatcher.broker", "observer.broker", "runner.broker", "monitor.password"] {
        let secret = |of: &TempDir| text(&of.path().join("secrets").join(name));
        assert_ne!(secret(&first), secret(&second), "{name}");
    }
    let folder = std::fs::metadata(first.path().join("secrets")).expect("it is there");
    assert_eq!(folder.permissions().mode() & 0o077, 0);
    let ignored = text(&docker().join(".gitignore"));
    for name in ["/.env", "/secrets"] {
        assert!(ignored.lines().any(|line| line == name), "{name} could be committed");
    }
}

#[test]
fn the_compose_file_is_understood_and_names_only_what_is_there() {
    let compose = docker().join("compose.yaml");
    let prepared = prepared();
    let mut named = 0;
    for path in text(&compose).split("./").skip(1).filter_map(|rest| rest.split(['"', ' ', ',', '}', '\n']).next()) {
        // The last dot of `../` begins no path of this folder.
        let there = [docker(), prepared.path().to_owned()].iter().any(|folder| folder.join(path).exists());
        assert!(there || path == "prepare", "compose.yaml names {path}, which is not there");
        named += 1;
    }
    assert!(named >= 6, "only {named} paths were found");

    let environment = prepared.path().join(".env");
    let watched = text(&environment).replace("\nREPOSITORIES=\n", "\nREPOSITORIES=/repositories/app.git\n");
    std::fs::write(&environment, watched).expect("write");
    for program in [&["docker", "compose"][..], &["docker-compose"]] {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg("--env-file").arg(&environment).arg("--file").arg(&compose);
        command.args(["config", "--quiet"]);
        let Ok(output) = command.output() else { continue };
        let said = String::from_utf8_lossy(&output.stderr);
        // A docker without the compose plugin knows neither the word nor its flags.
        if said.contains("unknown") {
            continue;
        }
        assert!(output.status.success(), "{program:?}: {said}");
        return;
    }
    eprintln!("skipped: no docker compose is installed, so compose.yaml was read, but not by compose");
}
