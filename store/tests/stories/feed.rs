//! Whoever follows the feed misses nothing.

use messages::{JobId, Outcome};
use store::{Change, ChangeSubject};

use super::fixture::{World, build};

#[tokio::test]
async fn every_commit_wakes_the_followers_and_names_what_changed() {
    let world = World::start().await;
    let mut changes = world.ledger.changes();
    let before = *changes.borrow_and_update();
    let id = world.push(1, &[("test", &[])]).await;
    changes.changed().await.expect("the ledger lives");
    let job = world.job(id, "test").await.id;
    let lines = world.ledger.changes_since(before, 100).await.expect("read");
    let subjects: Vec<&ChangeSubject> = lines.iter().map(|change| &change.subject).collect();
    assert_eq!(subjects, [&ChangeSubject::Build(id), &ChangeSubject::Job(job)]);
    assert_eq!(lines.last().map(|change| change.number), Some(*changes.borrow_and_update()));

    world.claim(job, "north").await;
    assert!(changes.has_changed().expect("the ledger lives"));
    let last = *changes.borrow_and_update();
    let again = world.claim(job, "north").await;
    assert!(!changes.has_changed().expect("the ledger lives"), "the same answer again changes nothing");
    world.report(&again, Outcome::Passed).await;
    let after: Vec<Change> = world.ledger.changes_since(last, 1).await.expect("read");
    assert_eq!(after.len(), 1, "at most as many as asked for");
}

#[tokio::test]
async fn many_changes_of_one_thing_in_one_transaction_are_one_line() {
    let world = World::start().await;
    let before = *world.ledger.changes().borrow();
    let jobs: Vec<(String, Vec<usize>)> = (0..50).map(|number| (format!("job-{number}"), Vec::new())).collect();
    let jobs: Vec<(&str, &[usize])> = jobs.iter().map(|(name, needs)| (name.as_str(), needs.as_slice())).collect();
    let id = world.push(1, &jobs).await;
    let lines = world.ledger.changes_since(before, 1000).await.expect("read");
    assert_eq!(lines.iter().filter(|line| line.subject == ChangeSubject::Build(id)).count(), 1);
    let named: Vec<JobId> = lines
        .iter()
        .filter_map(|line| match line.subject {
            ChangeSubject::Job(job) => Some(job),
            _ => None,
        })
        .collect();
    assert_eq!(named.len(), 50);
}

#[tokio::test]
async fn a_ledger_that_is_opened_again_goes_on_counting() {
    let world = World::start().await;
    world.record(vec![build(1, &[("test", &[])])]).await;
    let last = *world.ledger.changes().borrow();
    assert!(last > 0);
    let again = super::fixture::open_in(&world.folder).await;
    assert_eq!(*again.changes().borrow(), last);
}
