//! Announcements and answers, in every order in which they can come.

use messages::{
    Arrival, Author, ChangedPaths, CommitId, CommitSeen, Incarnation, PipelineSource, RefName, RepositorySource,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn commit(number: u32) -> CommitId {
    format!("{number:040x}").parse().expect("an id")
}

fn main_ref() -> RefName {
    "refs/heads/main".parse().expect("a ref name")
}

fn book() -> Book {
    Book::new("repo".parse().expect("a name"), PATIENCE)
}

fn moved(commits: impl IntoIterator<Item = u32>) -> Move {
    let sighting =
        |number| Sighting { ref_name: main_ref(), commit: commit(number), arrival: Arrival::Pushed, skipped_before: 0 };
    let sightings: Vec<_> = commits.into_iter().map(sighting).collect();
    let tip = sightings.last().expect("not empty").commit.clone();
    Move { sightings, updates: vec![Update::Set { ref_name: main_ref(), commit: tip }] }
}

fn tips(finished: Option<Vec<Update>>) -> Vec<CommitId> {
    let tip = |update| match update {
        Update::Set { commit, .. } => commit,
        Update::Forget { .. } => unreachable!("not in these stories"),
    };
    finished.into_iter().flatten().map(tip).collect()
}

#[test]
fn the_id_of_an_announcement_is_that_of_its_message() {
    let repository = RepositorySource { name: "repo".parse().expect("a name"), url: "/srv/repo".to_owned() };
    let seen = CommitSeen {
        observer: "watcher".parse().expect("a name"),
        incarnation: Incarnation(MessageId::of(&["life"]).0),
        repository,
        ref_name: main_ref(),
        commit: commit(1),
        tree: "a".repeat(40).parse().expect("an id"),
        parents: Vec::new(),
        author: Author { name: String::new(), email: String::new() },
        subject: String::new(),
        committed_at: jiff::Timestamp::UNIX_EPOCH,
        changed_paths: ChangedPaths::default(),
        pipeline: PipelineSource::Missing,
        arrival: Arrival::Pushed,
        skipped_before: 0,
    };
    assert_eq!(id_of(&seen.repository.name, &moved([1]).sightings[0]), seen.message_id());
}

#[test]
fn the_cursor_moves_only_when_all_commits_of_all_earlier_moves_are_recorded() {
    let (mut book, now) = (book(), Instant::now());
    book.add(moved([1, 2]));
    book.add(moved([3]));
    let due = book.due(now, 10);
    assert_eq!(due.iter().map(|(_, seen)| seen.commit.clone()).collect::<Vec<_>>(), [commit(1), commit(2), commit(3)]);
    book.settle(due[2].0);
    book.settle(due[0].0);
    assert_eq!(book.finished(), None);
    book.settle(due[1].0);
    assert_eq!(tips(book.finished()), [commit(2), commit(3)]);
    assert!(book.is_empty());
}

#[test]
fn silence_brings_a_repeat_and_each_next_one_later() {
    let (mut book, now) = (book(), Instant::now());
    book.add(moved([1]));
    let (id, _) = book.due(now, 10).remove(0);
    book.published(id, now);
    assert!(book.due(now + PATIENCE / 2, 10).is_empty());
    assert_eq!(book.due(now + PATIENCE, 10)[0].0, id);
    book.published(id, now + PATIENCE);
    assert!(book.due(now + PATIENCE * 2, 10).is_empty());
    assert_eq!(book.due(now + PATIENCE * 3, 10).len(), 1);
    book.all_due(now + PATIENCE);
    assert_eq!(book.due(now + PATIENCE, 10).len(), 1);
}

#[test]
fn memory_is_bounded_and_what_waits_keeps_its_order() {
    let (mut book, now) = (book(), Instant::now());
    book.add(moved(0..1000));
    let first = book.due(now, usize::MAX);
    assert_eq!(first.len(), WINDOW);
    assert_eq!(book.backlog(), 1000 - WINDOW);
    for (id, _) in &first {
        book.published(*id, now);
    }
    assert!(book.due(now, usize::MAX).is_empty());
    book.settle(first[0].0);
    assert_eq!(book.due(now, usize::MAX)[0].1.commit, commit(200));
}

#[test]
fn a_commit_that_two_moves_wait_for_is_announced_once() {
    let (mut book, now) = (book(), Instant::now());
    book.add(moved([1, 2]));
    book.add(moved([1]));
    let due = book.due(now, 10);
    assert_eq!(due.len(), 2);
    book.settle(due[0].0);
    book.settle(due[0].0);
    book.settle(due[1].0);
    assert_eq!(tips(book.finished()), [commit(2), commit(1)]);
}

#[test]
fn a_late_answer_to_nothing_is_nothing() {
    let mut book = book();
    assert!(book.settle(MessageId::of(&["stranger"])).is_none());
    assert_eq!(book.finished(), None);
}

#[test]
fn when_the_broker_is_back_only_what_never_reached_it_is_hurried() {
    let (mut book, now) = (book(), Instant::now());
    book.add(moved([1, 2]));
    let due = book.due(now, 10);
    book.published(due[0].0, now);
    book.postponed(due[1].0, now, Duration::from_secs(5));
    assert!(book.due(now, 10).is_empty());
    book.hurry(now);
    assert_eq!(book.due(now, 10), due[1..]);
}
