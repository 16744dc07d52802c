//! What is announced for each way in which refs can change, on real repositories.

use std::os::unix::ffi::OsStrExt as _;

use messages::Arrival;

use super::*;
use crate::scratch::{Scratch, oid as git_oid};
use crate::tips::{Patterns, TipReader};

const BOUNDS: Bounds = Bounds { max_commits: 1000, depth: Depth::EveryCommit };

/// Looks, plans, and takes the plan as recorded. Returns (branch, commit, arrival, skipped).
fn look(repo: &Scratch, known: &mut Option<Cursor>, bounds: Bounds) -> Vec<(String, CommitId, Arrival, u64)> {
    let patterns = Patterns::new(&["*".to_owned()], &["v*".to_owned()]).expect("valid");
    let tips = TipReader::new(patterns).read(&repo.repository, known.as_ref()).expect("readable");
    let (moves, troubles) = plan(&repo.repository, known.as_ref(), &tips, bounds);
    assert!(troubles.is_empty(), "{troubles:?}");
    let cursor = known.get_or_insert_default();
    for update in moves.iter().flat_map(|planned| planned.updates.clone()) {
        cursor.apply(update);
    }
    let seen = moves.into_iter().flat_map(|planned| planned.sightings);
    seen.map(|seen| (seen.ref_name.short().to_owned(), seen.commit, seen.arrival, seen.skipped_before)).collect()
}

fn commits(seen: &[(String, CommitId, Arrival, u64)], branch: &str) -> Vec<CommitId> {
    seen.iter().filter(|(name, ..)| name == branch).map(|(_, commit, ..)| commit.clone()).collect()
}

#[test]
fn a_repository_seen_for_the_first_time_gives_its_tips_and_not_its_history() {
    let repo = Scratch::bare();
    let main = repo.commits("main", &["1", "2", "3"]);
    repo.set("other", &main[0]);
    let seen = look(&repo, &mut None, BOUNDS);
    assert_eq!(
        seen,
        [
            ("main".to_owned(), main[2].clone(), Arrival::Initial, 0),
            ("other".to_owned(), main[0].clone(), Arrival::Initial, 0),
        ]
    );
}

#[test]
fn an_empty_repository_has_nothing_to_say_and_its_first_push_is_announced_whole() {
    let repo = Scratch::with_working_tree();
    let mut known = None;
    assert!(look(&repo, &mut known, BOUNDS).is_empty());
    let pushed = repo.commits("main", &["1", "2"]);
    assert_eq!(commits(&look(&repo, &mut known, BOUNDS), "main"), pushed);
}

#[test]
fn every_commit_of_a_push_is_announced_once_and_parents_come_first() {
    let repo = Scratch::bare();
    repo.commit("main", "0");
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    let subjects: Vec<_> = (1..=50).map(|number| number.to_string()).collect();
    let pushed = repo.commits("main", &subjects.iter().map(String::as_str).collect::<Vec<_>>());
    let seen = look(&repo, &mut known, BOUNDS);
    assert_eq!(commits(&seen, "main"), pushed);
    assert!(seen.iter().all(|(.., arrival, skipped)| (*arrival, *skipped) == (Arrival::Pushed, 0)));
    assert!(look(&repo, &mut known, BOUNDS).is_empty());
}

#[test]
fn a_merge_brings_the_commits_of_the_other_branch_to_this_one() {
    let repo = Scratch::bare();
    let base = repo.commit("main", "base");
    repo.set("topic", &base);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    let topic = repo.commits("topic", &["t1", "t2"]);
    look(&repo, &mut known, BOUNDS);
    let merge = repo.loose_commit(repo.tree(&[("a", "b")]), &[&base, &topic[1]], "merge");
    repo.set("main", &merge);
    assert_eq!(commits(&look(&repo, &mut known, BOUNDS), "main"), [topic[0].clone(), topic[1].clone(), merge]);
}

#[test]
fn a_force_push_announces_what_the_old_history_did_not_have() {
    let repo = Scratch::bare();
    let old = repo.commits("main", &["1", "2", "3"]);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    repo.set("main", &old[0]);
    let new = repo.commits("main", &["two", "three"]);
    assert_eq!(commits(&look(&repo, &mut known, BOUNDS), "main"), new);
}

#[test]
fn a_ref_that_moves_back_shows_the_build_of_its_tip_again() {
    let repo = Scratch::bare();
    let main = repo.commits("main", &["1", "2", "3"]);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    repo.set("main", &main[0]);
    assert_eq!(look(&repo, &mut known, BOUNDS), [("main".to_owned(), main[0].clone(), Arrival::MovedBack, 0)]);
}

#[test]
fn an_old_tip_that_is_gone_does_not_bring_the_whole_history() {
    let repo = Scratch::bare();
    let main = repo.commits("main", &["1", "2", "3"]);
    let name: RefName = "refs/heads/main".parse().expect("a ref name");
    let mut known = Some(Cursor::default());
    let gone = "d".repeat(40).parse().expect("an id");
    known.get_or_insert_default().apply(Update::Set { ref_name: name, commit: gone });
    assert_eq!(look(&repo, &mut known, BOUNDS), [("main".to_owned(), main[2].clone(), Arrival::Pushed, 0)]);
}

#[test]
fn a_new_branch_announces_what_no_other_has_and_its_tip_in_any_case() {
    let repo = Scratch::bare();
    let main = repo.commits("main", &["1", "2"]);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    repo.set("same", &main[1]);
    repo.set("topic", &main[0]);
    let topic = repo.commits("topic", &["t1", "t2"]);
    let seen = look(&repo, &mut known, BOUNDS);
    assert_eq!(commits(&seen, "same"), [main[1].clone()]);
    assert_eq!(commits(&seen, "topic"), topic);
}

#[test]
fn two_new_branches_with_the_same_commits_share_them() {
    let repo = Scratch::bare();
    repo.commit("main", "0");
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    let base = repo.tip("main").expect("there");
    repo.set("a", &base);
    let both = repo.commits("a", &["1", "2"]);
    repo.set("b", &both[1]);
    let seen = look(&repo, &mut known, BOUNDS);
    assert_eq!(commits(&seen, "a"), both);
    assert_eq!(commits(&seen, "b"), [both[1].clone()]);
}

#[test]
fn a_branch_that_is_deleted_and_comes_back_does_not_bring_its_old_history() {
    let repo = Scratch::bare();
    let main = repo.commits("main", &["1", "2"]);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    repo.delete("main");
    assert!(look(&repo, &mut known, BOUNDS).is_empty());
    repo.set("main", &main[1]);
    let new = repo.commit("main", "3");
    assert_eq!(commits(&look(&repo, &mut known, BOUNDS), "main"), [new]);
}

#[test]
fn a_push_beyond_the_bound_says_how_much_was_left_out() {
    let repo = Scratch::bare();
    repo.commit("main", "0");
    let (mut every, mut tips) = (None, None);
    look(&repo, &mut every, BOUNDS);
    look(&repo, &mut tips, BOUNDS);
    let pushed = repo.commits("main", &["1", "2", "3", "4", "5"]);
    let seen = look(&repo, &mut every, Bounds { max_commits: 2, ..BOUNDS });
    assert_eq!(commits(&seen, "main"), pushed[3..]);
    assert_eq!(seen.iter().map(|(.., skipped)| *skipped).collect::<Vec<_>>(), [3, 0]);
    let seen = look(&repo, &mut tips, Bounds { depth: Depth::TipsOnly, ..BOUNDS });
    assert_eq!(seen, [("main".to_owned(), pushed[4].clone(), Arrival::Pushed, 4)]);
}

#[test]
fn tags_of_tags_lead_to_their_commit_and_tags_of_files_are_left_out() {
    let repo = Scratch::bare();
    let main = repo.commit("main", "1");
    let git = &repo.repository;
    let who = git2::Signature::now("Ann", "ann@example.org").expect("a person");
    let commit = git.find_object(git_oid(&main), None).expect("there");
    let inner = git.tag("v1", &commit, &who, "one", false).expect("a tag");
    git.tag("v2", &git.find_object(inner, None).expect("there"), &who, "two", false).expect("a tag");
    let blob = git.blob(b"a file").expect("a blob");
    git.tag("v3", &git.find_object(blob, None).expect("there"), &who, "three", false).expect("a tag");
    git.tag_lightweight("unwatched", &commit, false).expect("a tag");
    let mut names: Vec<_> =
        look(&repo, &mut None, BOUNDS).into_iter().map(|(name, commit, ..)| (name, commit)).collect();
    names.sort();
    assert_eq!(names, ["main", "v1", "v2"].map(|name| (name.to_owned(), main.clone())));
}

#[test]
fn names_made_to_harm_are_names() {
    let repo = Scratch::bare();
    let main = repo.commit("main", "1");
    let hostile = ["--upload-pack=x", "a;rm", "$(id)", "quote'\"", "<script>", "ü/ß"];
    for name in hostile {
        repo.set(name, &main);
    }
    // Not UTF-8: it cannot be written in a message, so it is told and left out.
    let name = std::ffi::OsStr::from_bytes(b"refs/heads/\xff\xfe");
    std::fs::write(repo.path.join(name), format!("{main}\n")).expect("written");
    let seen = look(&repo, &mut None, BOUNDS);
    let names: Vec<_> = seen.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names.len(), hostile.len() + 1, "{names:?}");
    assert!(hostile.iter().all(|name| names.contains(name)), "{names:?}");
}

#[test]
fn a_ref_that_cannot_be_read_for_a_while_is_not_taken_for_deleted() {
    let repo = Scratch::bare();
    repo.commits("main", &["1", "2"]);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    let file = repo.path.join("refs/heads/main");
    let content = std::fs::read(&file).expect("a loose ref");
    for damage in ["", "nonsense", "ref: refs/heads/nowhere"] {
        std::fs::write(&file, damage).expect("written");
        assert!(look(&repo, &mut known, BOUNDS).is_empty(), "{damage:?}");
    }
    std::fs::write(&file, content).expect("written");
    let new = repo.commit("main", "3");
    assert_eq!(commits(&look(&repo, &mut known, BOUNDS), "main"), [new]);
}

#[test]
fn packed_refs_are_the_same_refs() {
    let repo = Scratch::bare();
    repo.commits("main", &["1", "2"]);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    repo.git(&["pack-refs", "--all", "--prune"]);
    assert!(look(&repo, &mut known, BOUNDS).is_empty());
    repo.git(&["gc", "--quiet"]);
    assert!(look(&repo, &mut known, BOUNDS).is_empty());
}

#[test]
fn one_branch_that_cannot_be_walked_does_not_hold_up_the_others() {
    let repo = Scratch::bare();
    let base = repo.commit("main", "0");
    repo.set("good", &base);
    let mut known = None;
    look(&repo, &mut known, BOUNDS);
    let broken = repo.commits("main", &["1", "2", "3"]);
    let good = repo.commit("good", "g");
    let middle = broken[1].as_str();
    std::fs::remove_file(repo.path.join("objects").join(&middle[..2]).join(&middle[2..])).expect("removed");
    let patterns = Patterns::new(&["*".to_owned()], &[]).expect("valid");
    let fresh = Repository::open(&repo.path).expect("opens");
    let tips = TipReader::new(patterns).read(&fresh, known.as_ref()).expect("readable");
    let (moves, troubles) = plan(&fresh, known.as_ref(), &tips, BOUNDS);
    let seen: Vec<_> = moves.iter().flat_map(|planned| &planned.sightings).map(|seen| seen.commit.clone()).collect();
    assert_eq!(seen, [good]);
    assert!(troubles[0].to_string().contains("refs/heads/main"), "{troubles:?}");
}

#[test]
fn the_short_way_and_the_general_walk_agree() {
    let repo = Scratch::bare();
    repo.commit("main", "0");
    let old = git_oid(&repo.tip("main").expect("there"));
    let names: Vec<_> = (0..MAX_LINE + 1).map(|number| number.to_string()).collect();
    let texts: Vec<_> = names.iter().map(String::as_str).collect();
    let line = repo.commits("main", &texts);
    for length in [1, 2, MAX_LINE] {
        let tip = git_oid(&line[length - 1]);
        let short = straight_line(&repo.repository, tip, old).expect("readable").expect("a line");
        for max_commits in [1, 2, 1000] {
            let bounds = Bounds { max_commits, ..BOUNDS };
            let walked = new_commits(&repo.repository, tip, &[old], bounds).expect("readable");
            assert_eq!(bounded(short.clone(), bounds), walked, "{length} {max_commits}");
        }
    }
    let too_long = git_oid(&line[MAX_LINE]);
    assert_eq!(straight_line(&repo.repository, too_long, old), Ok(None));
}
