//! The form of the tree: heads, length, nothing left open, links that lead somewhere.

use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below the root with this ending, build output left out.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_source_file_says_what_it_is() {
    let files = files(".rs");
    assert!(files.len() > 50, "the source files are found");
    for path in files {
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.starts_with("//!"), "{} has no head", path.display());
    }
}

#[test]
fn no_source_file_grows_without_end() {
    for path in files(".rs") {
        let lines = std::fs::read_to_string(&path).expect("text").lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: the pure half usually wants to leave", path.display());
    }
}

#[test]
fn nothing_is_left_open_in_the_text() {
    let marks = ["TO", "FIX", "XX"].map(|start| {
        format!(
            "{start}{}",
            match start {
                "TO" => "DO",
                "FIX" => "ME",
                _ => "X",
            }
        )
    });
    for path in [files(".rs"), files(".md"), files(".toml"), files(".yaml")].concat() {
        let text = std::fs::read_to_string(&path).expect("text");
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} holds {mark}", path.display());
        }
    }
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    for path in files(".md") {
        let text = std::fs::read_to_string(&path).expect("text");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = path.parent().expect("a folder").join(target);
            assert!(file.exists(), "{} links to {target}, which is not there", path.display());
        }
    }
}
