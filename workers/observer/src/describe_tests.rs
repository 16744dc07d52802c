//! What a message says about a commit, whoever wrote the commit.

use messages::{Arrival, Incarnation, MAX_BODY_BYTES, MAX_CHANGED_PATHS, MessageId};

use super::*;
use crate::scratch::Scratch;

fn announcer() -> Announcer {
    Announcer {
        observer: "watcher".parse().expect("a name"),
        incarnation: Incarnation(MessageId::of(&["life"]).0),
        repository: RepositorySource { name: "repo".parse().expect("a name"), url: "/srv/repo".to_owned() },
    }
}

fn of(repo: &Scratch, commit: &CommitId) -> CommitSeen {
    let ref_name = "refs/heads/main".parse().expect("a ref name");
    let sighting = Sighting { ref_name, commit: commit.clone(), arrival: Arrival::Pushed, skipped_before: 7 };
    describe(&repo.repository, &announcer(), &sighting).expect("readable")
}

fn of_tree(repo: &Scratch, tree: Oid) -> CommitSeen {
    of(repo, &repo.loose_commit(tree, &[], "subject"))
}

#[test]
fn a_plain_commit_is_told_as_git_has_it() {
    let repo = Scratch::bare();
    let pipeline = "[[job]]\nname = \"test\"\n";
    let one = repo.loose_commit(repo.tree(&[("a", "1"), ("d/b", "1"), ("d/c", "1")]), &[], "one");
    let tree = repo.tree(&[("a", "2"), ("d/b", "1"), ("e/f/g", "1"), (".thump.toml", pipeline)]);
    let seen = of(&repo, &repo.loose_commit(tree, &[&one], "\nsubject line \n\nbody\n"));
    assert_eq!(seen.subject, "subject line");
    assert_eq!((seen.author.name.as_str(), seen.author.email.as_str()), ("Ann Author", "ann@example.org"));
    assert_eq!(seen.parents, [one]);
    assert_eq!(seen.tree.as_str(), tree.to_string());
    assert_eq!(seen.committed_at.as_second(), 1_700_000_000);
    assert_eq!(seen.changed_paths.paths, [".thump.toml", "a", "d/c", "e/f/g"]);
    assert!(!seen.changed_paths.truncated);
    assert_eq!(seen.pipeline, PipelineSource::File { text: pipeline.to_owned() });
    assert_eq!(seen.skipped_before, 7);
    let envelope = pack(seen.clone()).expect("small");
    assert_eq!(envelope.id, seen.message_id());
    assert_eq!(envelope.open::<CommitSeen>(), Ok(seen));
}

#[test]
fn a_file_that_becomes_a_folder_and_a_changed_mode_are_changes() {
    let repo = Scratch::bare();
    let one = repo.loose_commit(repo.tree(&[("a", "1"), ("b/c", "1")]), &[], "one");
    let two = repo.loose_commit(repo.tree(&[("a/x", "1"), ("b", "1")]), &[&one], "two");
    assert_eq!(of(&repo, &two).changed_paths.paths, ["a", "a/x", "b", "b/c"]);
    let plain = repo.loose_commit(repo.tree_of("run", b"x", 0o100_644), &[], "plain");
    let executable = repo.loose_commit(repo.tree_of("run", b"x", 0o100_755), &[&plain], "executable");
    assert_eq!(of(&repo, &executable).changed_paths.paths, ["run"]);
    let nothing = repo.loose_commit(repo.tree_of("run", b"x", 0o100_755), &[&executable], "nothing");
    assert_eq!(of(&repo, &nothing).changed_paths, ChangedPaths::default());
}

#[test]
fn a_pipeline_file_is_a_regular_file_of_the_tree_or_says_what_it_is() {
    let repo = Scratch::bare();
    let of_mode = |content: &[u8], mode| of_tree(&repo, repo.tree_of(".thump.toml", content, mode)).pipeline;
    assert_eq!(of_mode(b"x", 0o100_755), PipelineSource::File { text: "x".to_owned() });
    let link = of_mode(b"/etc/passwd", 0o120_000);
    assert!(matches!(&link, PipelineSource::Unreadable { why } if why.contains("symbolic link")), "{link:?}");
    let binary = of_mode(b"a\xff", 0o100_644);
    assert!(matches!(&binary, PipelineSource::Unreadable { why } if why.contains("UTF-8")), "{binary:?}");
    let fits = of_mode(&vec![b'#'; MAX_PIPELINE_BYTES], 0o100_644);
    assert!(matches!(fits, PipelineSource::File { .. }));
    let large = of_mode(&vec![b'#'; MAX_PIPELINE_BYTES + 1], 0o100_644);
    assert_eq!(large, PipelineSource::TooLarge { bytes: MAX_PIPELINE_BYTES as u64 + 1 });
    let folder = of_tree(&repo, repo.tree(&[(".thump.toml/x", "1")])).pipeline;
    assert!(matches!(&folder, PipelineSource::Unreadable { why } if why.contains("folder")), "{folder:?}");
    let elsewhere = Oid::from_str(&"d".repeat(40)).expect("an id");
    let submodule = of_tree(&repo, repo.tree_with(".thump.toml", elsewhere, 0o160_000)).pipeline;
    assert!(matches!(&submodule, PipelineSource::Unreadable { why } if why.contains("submodule")), "{submodule:?}");
    assert_eq!(of_tree(&repo, repo.tree(&[("other", "1")])).pipeline, PipelineSource::Missing);
}

#[test]
fn what_is_not_utf8_or_endless_is_made_plain_and_cut_between_characters() {
    let repo = Scratch::bare();
    let tree = repo.tree(&[("a", "1")]);
    let mut raw = format!("tree {tree}\nauthor ").into_bytes();
    raw.extend(b"J\xf6rg <j\xf6rg@example.org> 99999999999999 +0000\ncommitter x <x> 99999999999999 +0000\n\n");
    raw.extend("ü".repeat(400).as_bytes());
    let id = repo.repository.odb().expect("a store").write(ObjectType::Commit, &raw).expect("written");
    let seen = of(&repo, &commit_id(id).expect("an id"));
    assert_eq!(seen.author.name, "J\u{fffd}rg");
    assert_eq!(seen.subject, "ü".repeat(MAX_SUBJECT_BYTES / 2));
    assert_eq!(seen.committed_at, Timestamp::UNIX_EPOCH);
    let empty = of(&repo, &repo.loose_commit(tree, &[], ""));
    assert_eq!(empty.subject, "");
}

#[test]
fn a_cut_list_of_paths_says_so() {
    let repo = Scratch::bare();
    let names: Vec<_> = (0..=MAX_CHANGED_PATHS).map(|number| format!("{}/{number}", number % 7)).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let all = of_tree(&repo, repo.tree(&files)).changed_paths;
    assert_eq!((all.paths.len(), all.truncated), (MAX_CHANGED_PATHS, true));
    let fits = of_tree(&repo, repo.tree(&files[1..])).changed_paths;
    assert_eq!((fits.paths.len(), fits.truncated), (MAX_CHANGED_PATHS, false));
}

#[test]
fn a_tree_made_to_explode_costs_a_bounded_time() {
    let repo = Scratch::bare();
    // Ten folders that are all the same one, thirty levels deep: 10^30 empty folders, 31 objects.
    let mut tree = repo.repository.treebuilder(None).expect("a builder").write().expect("a tree");
    for _ in 0..30 {
        let mut builder = repo.repository.treebuilder(None).expect("a builder");
        for name in 0..10 {
            builder.insert(name.to_string(), tree, 0o040_000).expect("an entry");
        }
        tree = builder.write().expect("a tree");
    }
    assert!(of_tree(&repo, tree).changed_paths.truncated);
}

#[test]
fn a_message_that_would_be_too_large_leaves_paths_out() {
    let repo = Scratch::bare();
    let mut seen = of_tree(&repo, repo.tree(&[("a", "1")]));
    // Characters that JSON writes six times as long.
    seen.pipeline = PipelineSource::File { text: "\u{1}".repeat(MAX_PIPELINE_BYTES) };
    seen.changed_paths.paths = (0..900).map(|number| format!("{number}{}", "\u{1}".repeat(300))).collect();
    let envelope = pack(seen).expect("cut until it fits");
    assert!(envelope.body.len() <= MAX_BODY_BYTES);
    let sent: CommitSeen = envelope.open().expect("readable");
    assert!(sent.changed_paths.truncated && !sent.changed_paths.paths.is_empty());
}

#[test]
fn a_shallow_history_matches_every_path_filter() {
    let repo = Scratch::bare();
    repo.commits("main", &["1", "2", "3"]);
    let clone = repo.beside("shallow");
    let url = format!("file://{}", repo.path.display());
    repo.git(&["clone", "--quiet", "--depth", "1", "--branch", "main", &url, &clone.display().to_string()]);
    let shallow = Repository::open(&clone).expect("opens");
    let commit = repo.tip("main").expect("there");
    let ref_name = "refs/heads/main".parse().expect("a ref name");
    let sighting = Sighting { ref_name, commit, arrival: Arrival::Initial, skipped_before: 0 };
    let seen = describe(&shallow, &announcer(), &sighting).expect("readable");
    assert!(seen.changed_paths.truncated || seen.parents.is_empty());
}
