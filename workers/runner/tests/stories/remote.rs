//! Repositories that are reached through git's own protocol: one mirror, fetched by exact commit.

use std::process::{Child, Command, Stdio};

use messages::{ErroredKind, Outcome, RepositorySource, Step, Work};

use crate::world::{World, commit, eventually, job};

/// A git server on loopback that ends with the story.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    async fn start(root: &std::path::Path) -> Self {
        let programs = Command::new("git").arg("--exec-path").output().expect("git is there").stdout;
        let programs = String::from_utf8(programs).expect("is text");
        // Free a moment ago; if somebody was quicker the server says so by ending.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("has one").port();
        let process = Command::new(format!("{}/git-daemon", programs.trim()))
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--base-path={}", root.display()))
            .arg(root)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        eventually("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Self { process, port }
    }

    fn source(&self, name: &str) -> RepositorySource {
        RepositorySource {
            name: name.parse().expect("is a name"),
            url: format!("git://127.0.0.1:{}/{name}", self.port),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn cat() -> Work {
    Work::Steps { steps: vec![Step { run: "cat a.txt".into() }] }
}

#[tokio::test]
async fn commits_of_a_remote_repository_are_fetched_once_and_outlive_its_server() {
    let world = World::new().await;
    let (local, first) = world.repository("far", &[("a.txt", "one\n")]);
    let server = Server::start(world.folder.path()).await;
    let mut settings = world.settings();
    settings.slots = 2;
    let runner = world.start_with(settings.clone());
    let second = commit(&git2::Repository::open(&local.url).expect("opens"), &[("a.txt", "two\n")]);
    let one = job(server.source("far"), first.clone(), cat());
    let two = job(server.source("far"), second, cat());
    world.publish(&one).await;
    world.publish(&two).await;
    assert!(world.result(&one).await.1.ends_with("\none\n"));
    assert!(world.result(&two).await.1.ends_with("\ntwo\n"));

    let mut gone = job(server.source("far"), first.clone(), cat());
    gone.commit = "1".repeat(40).parse().expect("is an id");
    world.publish(&gone).await;
    let outcome = world.result(&gone).await.0.outcome;
    assert!(
        matches!(&outcome, Outcome::Errored { reason, worth_retrying: false }
        if reason.kind == ErroredKind::CommitGone),
        "{outcome:?}"
    );

    let source = server.source("far");
    drop(server);
    let known = job(source.clone(), first, cat());
    world.publish(&known).await;
    assert!(world.result(&known).await.1.ends_with("\none\n"), "no server is needed for what is here");
    let mut unknown = job(source, "2".repeat(40).parse().expect("is an id"), cat());
    unknown.name = "unknown".into();
    world.publish(&unknown).await;
    let outcome = world.result(&unknown).await.0.outcome;
    assert!(
        matches!(&outcome, Outcome::Errored { reason, worth_retrying: true }
        if reason.kind == ErroredKind::Checkout),
        "{outcome:?}"
    );
    runner.drain().await;
    let mirrors = std::fs::read_dir(world.data().join("mirrors")).expect("reads").flatten();
    assert_eq!(mirrors.filter(|entry| entry.path().is_dir()).count(), 1);
}

#[tokio::test]
async fn nothing_that_a_repository_or_its_address_says_is_run_by_the_runner() {
    let world = World::new().await;
    let runner = world.start();
    let mark = world.folder.path().join("mark");
    let (source, tip) = world.repository("hostile", &[("a.txt", "x\n"), (".gitattributes", "* filter=evil\n")]);
    let hook = format!("#!/bin/sh\ntouch {}\n", mark.display());
    let hooks = std::path::Path::new(&source.url).join(".git/hooks");
    std::fs::create_dir_all(&hooks).expect("makes a folder");
    for name in ["post-checkout", "reference-transaction"] {
        std::fs::write(hooks.join(name), &hook).expect("writes");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(hooks.join(name), mode).expect("changes the mode");
    }
    let repository = git2::Repository::open(&source.url).expect("opens");
    let mut config = repository.config().expect("has one");
    let touch = format!("touch {}", mark.display());
    for key in ["filter.evil.smudge", "core.fsmonitor", "core.sshCommand"] {
        config.set_str(key, &touch).expect("sets");
    }
    let good = job(source, tip.clone(), cat());
    world.publish(&good).await;
    assert_eq!(world.result(&good).await.0.outcome, Outcome::Passed);
    for url in
        [format!("ext::sh -c {touch}"), format!("--upload-pack={touch}"), format!("ssh://-oProxyCommand={touch}/x")]
    {
        let name = "evil".parse().expect("is a name");
        let bad = job(RepositorySource { name, url }, tip.clone(), cat());
        world.publish(&bad).await;
        assert!(matches!(world.result(&bad).await.0.outcome, Outcome::Errored { worth_retrying: false, .. }));
    }
    runner.drain().await;
    assert!(!mark.exists());
}
