//! Who may know whom, held against cargo's own graph. What is absent here is absent on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crate, and the crates of ours that it may depend on.
const MAY_KNOW: [(&str, &[&str]); 18] = [
    ("messages", &[]),
    ("broker", &["messages", "seams"]),
    ("pipeline", &["messages"]),
    ("store", &["messages", "seams"]),
    ("observer", &["messages", "broker", "seams"]),
    ("dispatcher", &["messages", "broker", "pipeline", "store", "seams"]),
    ("runner", &["messages", "broker", "reports", "seams"]),
    ("reports", &["messages"]),
    ("dashboard", &["messages", "broker", "store"]),
    ("rabbit-node", &[]),
    ("fuzz", &["messages", "broker", "pipeline", "observer", "dispatcher", "runner", "reports", "dashboard"]),
    ("fault-proxy", &[]),
    ("proof", &[]),
    ("drill", &["broker", "fault-proxy", "proof"]),
    ("chaos", &["rabbit-node", "drill", "fault-proxy", "proof"]),
    ("seams", &[]),
    ("simulation", &[]),
    ("thump", &["messages", "broker", "pipeline", "store", "observer", "dispatcher", "runner", "dashboard", "drill"]),
];

/// Crate, and libraries that it must not touch: the nouns know no I/O, the decider no git, and so on.
const MUST_NOT_USE: [(&str, &[&str]); 8] = [
    ("messages", &["tokio", "lapin", "sqlx", "git2"]),
    ("pipeline", &["tokio", "lapin", "sqlx", "git2"]),
    ("store", &["lapin", "git2", "axum"]),
    ("observer", &["sqlx", "lapin", "axum"]),
    ("dispatcher", &["git2", "axum", "lapin", "sqlx"]),
    ("runner", &["sqlx", "lapin", "axum"]),
    ("reports", &["tokio", "lapin", "sqlx", "git2", "axum"]),
    ("dashboard", &["git2", "lapin", "sqlx"]),
];

fn normal_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect();
            (package["name"].as_str().expect("a name").to_owned(), names)
        })
        .collect()
}

#[test]
fn crates_know_only_whom_they_may() {
    let graph = normal_dependencies();
    let ours: BTreeSet<&str> = MAY_KNOW.iter().map(|(name, _)| *name).collect();
    assert_eq!(graph.keys().map(String::as_str).collect::<BTreeSet<_>>(), ours, "every crate stands in the table");
    for (name, allowed) in MAY_KNOW {
        let known: BTreeSet<&str> =
            graph[name].iter().map(String::as_str).filter(|dependency| ours.contains(dependency)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(known.is_subset(&allowed), "{name} knows {:?}", known.difference(&allowed).collect::<Vec<_>>());
    }
}

#[test]
fn crates_do_not_reach_past_their_layer() {
    let graph = normal_dependencies();
    for (name, forbidden) in MUST_NOT_USE {
        for library in forbidden {
            assert!(!graph[name].contains(*library), "{name} uses {library}");
        }
    }
}
