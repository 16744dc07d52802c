//! What may be typed, and what must not get through to git.

use super::*;
use crate::scratch::{Scratch, git};

fn one(typed: &str) -> Result<Watched, String> {
    let data = tempfile::tempdir().expect("temp");
    match resolve(&[typed.to_owned()], data.path()) {
        Ok(mut found) => Ok(found.remove(0)),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn a_path_anywhere_in_a_repository_is_that_repository() {
    let repo = Scratch::with_working_tree();
    repo.commit("main", "1");
    let inner = repo.path.join("a/b");
    std::fs::create_dir_all(&inner).expect("made");
    let tree = repo.beside("linked");
    repo.git(&["worktree", "add", "--quiet", "--detach", &tree.display().to_string(), "main"]);
    for path in [repo.path.clone(), inner, repo.path.join(".git"), tree] {
        let found = one(&path.display().to_string()).expect("a repository");
        assert_eq!(found.location, Location::Local(repo.path.clone()), "{path:?}");
        assert_eq!(found.source.name.as_str(), "work");
    }
    let bare = Scratch::bare();
    let found = one(&bare.path.display().to_string()).expect("a repository");
    assert_eq!((found.source.name.as_str(), found.source.url.as_str()), ("repo", bare.path.to_str().expect("text")));
}

#[test]
fn a_repository_is_watched_once_and_two_of_one_name_are_told_apart() {
    let data = tempfile::tempdir().expect("temp");
    let (one, two) = (Scratch::bare(), Scratch::bare());
    let typed = [&one, &one, &two].map(|repo| repo.path.display().to_string());
    let found = resolve(&typed, data.path()).expect("repositories");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].also_typed.as_slice(), found[1].also_typed.len()), ([typed[1].clone()].as_slice(), 0));
    assert_ne!(found[0].source.name, found[1].source.name);
    let again = resolve(&typed[2..], data.path()).expect("repositories");
    assert_eq!(again[0], found[1]);
}

#[test]
fn urls_of_every_allowed_kind_are_taken_as_they_are() {
    for url in [
        "https://example.org/team/Tool.git",
        "https://token@example.org/team/tool",
        "http://example.org:8080/tool",
        "ssh://git@example.org:2222/~/tool.git",
        "git://example.org/tool",
        "file:///srv/tool.git",
        "git@example.org:team/tool.git",
        "example.org:tool",
    ] {
        let found = one(url).expect(url);
        assert_eq!(found.location, Location::Remote(url.to_owned()));
        assert_eq!(found.source.name.as_str(), "tool", "{url}");
    }
    let named = one("mine=git@example.org:team/tool.git").expect("named");
    assert_eq!((named.source.name.as_str(), named.source.url.as_str()), ("mine", "git@example.org:team/tool.git"));
}

#[test]
fn nothing_gets_through_that_would_run_a_command_or_show_a_secret() {
    for (typed, why) in [
        ("ext::sh -c id", "scheme"),
        ("ext::sh -c touch% /tmp/x", "scheme"),
        ("fd::17/foo", "scheme"),
        ("ftp://example.org/x", "scheme"),
        ("javascript://x/y", "scheme"),
        ("ssh://-oProxyCommand=id/x", ""),
        ("ssh://%2DoProxyCommand=id@example.org/x", "begins with '-'"),
        ("-oProxyCommand=id:x", "bad name"),
        ("-oProxyCommand:x", "begins with '-'"),
        ("git@-oProxyCommand=id:x", "begins with '-'"),
        ("example.org:-x", "begins with '-'"),
        ("https:///nowhere", ""),
        ("https://example.org/", "no path"),
        ("https://user:hunter2@example.org/x", "credential helper"),
        ("user:hunter2@example.org:x", "credential helper"),
        ("--upload-pack=id", ""),
        ("/no/such/path", "cannot be opened"),
        ("", ""),
        ("Bad Name=/x", ""),
        ("UPPER=https://example.org/x", "name"),
    ] {
        let error = one(typed).expect_err(typed);
        assert!(error.contains(why), "{typed}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn every_bad_item_is_told_at_once_and_none_gets_a_name() {
    let data = tempfile::tempdir().expect("temp");
    let empty = tempfile::tempdir().expect("temp");
    let typed = ["/no/such".to_owned(), empty.path().display().to_string(), "https://example.org/x".to_owned()];
    let errors = resolve(&typed, data.path()).expect_err("two are bad");
    assert_eq!(errors.len(), 2);
    assert!(errors[1].to_string().contains("no git repository"), "{}", errors[1]);
    assert!(!data.path().join("repositories.json").exists());
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let (inner, outer) = (Scratch::bare(), Scratch::with_working_tree());
    inner.commit("main", "1");
    outer.commit("main", "1");
    git(
        &outer.path,
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            "-b",
            "main",
            &inner.path.display().to_string(),
            "sub",
        ],
    );
    let found = one(&outer.path.join("sub").display().to_string()).expect("a repository");
    assert_eq!(found.location, Location::Local(outer.path.join("sub")));
}
