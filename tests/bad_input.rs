//! Bad input on every entry: a clear line, the right exit code, and nothing lost.

use crate::world::process::{finish, thump};
use crate::world::{Carrier, Process, World};

/// Runs the program with these words and expects this exit code and these words on stderr.
async fn refused(words: &[&str], code: i32, says: &[&str]) {
    let mut command = thump();
    command.args(words);
    let (found, out, err) = finish(command).await;
    assert_eq!(found, code, "{words:?}\n{out}{err}");
    for part in says {
        assert!(err.contains(part), "{words:?} should say {part:?}:\n{err}");
    }
    assert!(!err.contains("panicked"), "{err}");
}

#[tokio::test]
async fn what_was_typed_wrong_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let nothing = folder.path().join("nothing").display().to_string();
    std::fs::create_dir(folder.path().join("plain")).expect("a folder");
    let plain = folder.path().join("plain").display().to_string();

    refused(&["up", "--wacth", "."], 2, &["--wacth"]).await;
    refused(&["up", &nothing, "--data", &data], 2, &[&nothing]).await;
    refused(&["up", &plain, "--data", &data], 2, &[&plain, "repository"]).await;
    refused(&["run", "--data", &data], 2, &["RabbitMQ", "THUMP_BROKER"]).await;
    refused(&["run", "--data", &data, "--broker", "http://x"], 2, &["amqp://"]).await;
    refused(&["run", "--data", &data, "--broker", "amqp://h", "--slots", "0"], 2, &["slots", "never take a job"]).await;
    refused(&["run", "--data", &data, "--broker", "amqp://h", "--pool", "No Pool"], 2, &["pool"]).await;
    refused(&["dispatch", "--data", &data, "--broker", "amqp://h", "--listen", "here"], 2, &["127.0.0.1:7411"]).await;
    refused(&["builds", "--server", "http://127.0.0.1:1"], 3, &["127.0.0.1:1"]).await;
    refused(&["check", &nothing], 3, &[&nothing]).await;
}

#[tokio::test]
async fn state_inside_the_watched_repository_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = crate::world::Repository::new(folder.path(), "app");
    repository.commit("first");
    let inside = repository.clone_path().join("state").display().to_string();
    let path = repository.clone_path().display().to_string();
    refused(&["up", &path, "--data", &inside, "--once"], 2, &["inside the watched repository", "--data"]).await;
}

#[tokio::test]
async fn a_corrupt_ledger_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = crate::world::Repository::new(folder.path(), "app");
    repository.push_job("true");
    let ledger = folder.path().join("data/dispatcher/ledger.db");
    std::fs::create_dir_all(ledger.parent().expect("a parent")).expect("a folder");
    let garbage = b"this is no database, and it is somebody's file".repeat(200);
    std::fs::write(&ledger, &garbage).expect("write");
    let data = folder.path().join("data").display().to_string();
    let path = repository.path().display().to_string();
    refused(&["up", &path, "--data", &data, "--once"], 1, &["ledger.db", "damaged"]).await;
    assert_eq!(std::fs::read(&ledger).expect("read"), garbage);
}

#[tokio::test]
async fn nothing_to_test_is_no_good_end_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = crate::world::Repository::new(folder.path(), "app");
    let path = repository.path().display().to_string();
    let data = folder.path().join("data").display().to_string();
    refused(&["up", &path, "--data", &data, "--once"], 3, &["nothing to test", "--branch"]).await;
    repository.push_job("true");
    let mistyped = ["up", &path, "--data", &data, "--once", "--branch", "mian"];
    refused(&mistyped, 3, &["nothing to test", "--branch"]).await;
}

#[tokio::test]
async fn a_repository_that_is_named_twice_is_watched_once_and_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = crate::world::Repository::new(folder.path(), "app");
    repository.push_job("true");
    let mut command = thump();
    command.args(["up", "--once", "--data"]).arg(folder.path().join("data")).arg(repository.path());
    command.arg(repository.path().join("objects").join(".."));
    let (code, out, err) = finish(command).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("objects/.. is the same repository and is watched once"), "{out}");
    assert_eq!(out.matches("passed").count(), 1, "{out}");
}

#[tokio::test]
async fn an_unreachable_remote_is_named_and_others_are_tested() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = crate::world::Repository::new(folder.path(), "app");
    repository.push_job("true");
    let data = folder.path().join("data").display().to_string();
    let mut command = thump();
    // Port 1 on loopback: nobody listens there.
    command.args(["up", "--once", "--data", &data]).arg(repository.path()).arg("http://127.0.0.1:1/nobody.git");
    let (code, out, err) = finish(command).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("passed"), "{out}");
    assert!(err.contains("nobody"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_broker_password_is_named_and_never_shown() {
    let node = rabbit_node::shared().await.expect("a RabbitMQ node");
    let url = node.vhost().await.expect("a virtual host").replace("guest:guest@", "guest:swordfish@");
    let folder = tempfile::tempdir().expect("a folder");
    for role in ["run", "dispatch"] {
        let mut command = thump();
        command.arg(role).arg("--data").arg(folder.path()).env("THUMP_BROKER", &url);
        if role == "dispatch" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let (code, out, err) = finish(command).await;
        assert_eq!(code, 3, "{role}: {out}{err}");
        assert!(err.contains("guest") && err.contains("password"), "{role}: {err}");
        assert!(!format!("{out}{err}").contains("swordfish"), "{role}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = thump();
    command.arg("run").arg("--data").arg(folder.path()).env("THUMP_BROKER", "amqp://guest:guest@127.0.0.1:1/%2f");
    let mut process = Process::start(command, &folder.path().join("log"));
    process.says("127.0.0.1:1").await;
    process.signal(rustix::process::Signal::TERM);
    process.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let path = repository.path().display().to_string();
    let data = world.path("data").display().to_string();
    refused(&["up", &path, "--data", &data, "--listen", "127.0.0.1:0"], 1, &["another thump uses"]).await;
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_a_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let repository = crate::world::Repository::new(folder.path(), "app");
    let data = folder.path().join("data").display().to_string();
    let path = repository.path().display().to_string();
    refused(&["up", &path, "--data", &data, "--listen", &address], 1, &[&address, "--listen"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_vanished_is_errored_and_the_runner_goes_on() {
    let mut world = World::new(Carrier::Rabbit).await;
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    let gone = repository.push_job("true");
    world.eventually("the build", || async { (world.builds(&gone).await.len() == 1).then_some(()) }).await;
    // Rewritten and collected before any runner was there.
    repository.git(&["commit", "--quiet", "--amend", "--message", "another one"]);
    repository.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
    let bare = repository.path().display().to_string();
    repository.git(&["-C", &bare, "reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["-C", &bare, "gc", "--quiet", "--prune=now"]);
    world.start_runner("runner");

    assert_eq!(world.verdict(&gone).await, "errored");
    let next = repository.push_job("true # next");
    assert_eq!(world.verdict(&next).await, "passed");
}
