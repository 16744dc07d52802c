//! The README's commands, typed as they are written.

use std::process::Command;

use crate::world::Repository;

/// The text of the README.
fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README")
}

/// The first command, word for word, but for `--once`, a data folder of its own, and the built program in
/// place of a second build.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_command_tests_this_repository_itself() {
    let line = "cargo run --release -- up .";
    assert!(readme().contains(line), "the README gives `{line}`");
    let words: Vec<&str> = line.split_once("-- ").expect("words").1.split(' ').collect();

    // A clone, because a story must not depend on what is not committed.
    let folder = tempfile::tempdir().expect("a folder");
    let clone = folder.path().join("thump");
    let cloned = Command::new("git").args(["clone", "--quiet", env!("CARGO_MANIFEST_DIR")]).arg(&clone).status();
    assert!(cloned.expect("git is installed").success());
    let branch =
        Command::new("git").args(["rev-parse", "--abbrev-ref", "HEAD"]).current_dir(&clone).output().expect("git");
    let branch = String::from_utf8_lossy(&branch.stdout).trim().to_owned();

    let mut command = crate::world::process::thump();
    command.args(words).arg("--once").arg("--data").arg(folder.path().join("data")).current_dir(&clone);
    command.args(["--branch", if branch == "HEAD" { "*" } else { &branch }]);
    let (code, out, err) = crate::world::process::finish(command).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("passed"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_exits_with_the_verdict_and_leaves_nothing_in_the_repository() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "app");
    repository.push_job("true");
    let once = |data: &str| {
        let mut command = crate::world::process::thump();
        command.args(["up", "--once", "--data"]).arg(folder.path().join(data)).arg(repository.clone_path());
        crate::world::process::finish(command)
    };
    let (code, out, err) = once("green").await;
    assert_eq!(code, 0, "{out}{err}");
    repository.push_job("false");
    let (code, out, err) = once("red").await;
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("failed"), "{out}");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_without_an_argument_takes_the_repository_one_stands_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "app");
    repository.write("sub/file", "deep");
    repository.push_job("true");
    let mut command = crate::world::process::thump();
    command
        .args(["up", "--once", "--data"])
        .arg(folder.path().join("data"))
        .current_dir(repository.clone_path().join("sub"));
    let (code, out, err) = crate::world::process::finish(command).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("passed"), "{out}");
}

#[test]
fn the_test_command_that_the_readme_gives_is_the_one_that_is_checked() {
    assert!(readme().contains("tests/run"));
    let check = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/run")).expect("the check");
    assert!(check.contains("tests/run"));
}
