//! Every commit becomes exactly one build.

use messages::{ErroredKind, ErroredReason, Verdict};
use store::{BuildFilter, Intake, NewBuild, State};

use super::fixture::{World, build, new_job, seen};

#[tokio::test]
async fn the_same_commit_is_one_build_however_often_it_is_announced() {
    let world = World::start().await;
    let answers = world.record(vec![build(1, &[("test", &[])]), build(1, &[("test", &[])])]).await;
    let Intake::New(id) = answers[0] else { panic!("{answers:?}") };
    assert_eq!(answers[1], Intake::Known(id));
    assert_eq!(world.record(vec![build(1, &[("test", &[])])]).await, [Intake::Known(id)]);
    assert_eq!(world.build(id).await.jobs.len(), 1);
    assert_eq!(world.to_publish().await.len(), 1);
}

#[tokio::test]
async fn the_same_commit_on_another_ref_or_in_another_repository_is_another_build() {
    let world = World::start().await;
    let mut on_tag = build(1, &[("test", &[])]);
    on_tag.seen.ref_name = "refs/tags/v1".parse().expect("a ref");
    let mut elsewhere = build(1, &[("test", &[])]);
    elsewhere.seen.repository.name = "other".parse().expect("a name");
    let answers = world.record(vec![build(1, &[("test", &[])]), on_tag, elsewhere]).await;
    assert!(answers.iter().all(|answer| matches!(answer, Intake::New(_))), "{answers:?}");
}

#[tokio::test]
async fn fifty_commits_at_once_from_many_callers_are_fifty_builds_with_rising_numbers() {
    let world = World::start().await;
    let mut callers = tokio::task::JoinSet::new();
    for commit in 0..50 {
        let (ledger, epoch) = (world.ledger.clone(), world.epoch);
        for _ in 0..2 {
            let ledger = ledger.clone();
            callers.spawn(async move { ledger.record_builds(epoch, vec![build(commit, &[("test", &[])])]).await });
        }
    }
    while let Some(outcome) = callers.join_next().await {
        outcome.expect("no panic").expect("recorded");
    }
    let builds = world.ledger.builds(BuildFilter { limit: 200, ..BuildFilter::default() }).await.expect("read");
    let mut numbers: Vec<u64> = builds.iter().map(|build| build.number).collect();
    assert_eq!(builds.len(), 50);
    assert!(numbers.is_sorted_by(|newer, older| newer > older), "newest first: {numbers:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), 50);
    assert_eq!(world.to_publish().await.len(), 50);
}

#[tokio::test]
async fn a_pipeline_with_a_mistake_is_a_done_errored_build_and_queues_nothing() {
    let world = World::start().await;
    let reason = ErroredReason { kind: ErroredKind::Pipeline, detail: "line 3: unknown key stepz".into() };
    world.record(vec![NewBuild { seen: seen(1), plan: Err(reason.clone()) }]).await;
    let builds = world.ledger.builds(BuildFilter { limit: 10, ..BuildFilter::default() }).await.expect("read");
    assert_eq!((builds[0].state, builds[0].verdict), (State::Done, Some(Verdict::Errored)));
    assert_eq!(builds[0].reason, Some(reason));
    assert!(world.to_publish().await.is_empty());
}

#[tokio::test]
async fn a_plan_in_which_jobs_need_each_other_does_not_wait_for_ever() {
    let world = World::start().await;
    for needs in [[vec![1], vec![0]], [vec![7], vec![]]] {
        let jobs = vec![new_job("a", &needs[0]), new_job("b", &needs[1])];
        let answers = world.record(vec![NewBuild { seen: seen(needs[0][0] as u64), plan: Ok(jobs) }]).await;
        let Intake::New(id) = answers[0] else { panic!("{answers:?}") };
        assert_eq!(world.build(id).await.verdict, Some(Verdict::Errored));
    }
}

#[tokio::test]
async fn a_plan_without_jobs_is_skipped_at_once() {
    let world = World::start().await;
    let id = world.push(1, &[]).await;
    assert_eq!(world.build(id).await.verdict, Some(Verdict::Skipped));
}

#[tokio::test]
async fn builds_are_found_by_the_first_digits_of_their_commit_and_by_ref() {
    let world = World::start().await;
    let id = world.push(0xabcd, &[("test", &[])]).await;
    world.push(2, &[("test", &[])]).await;
    let find = async |commit: Option<&str>, ref_name: Option<&str>| {
        let filter = BuildFilter {
            commit: commit.map(str::to_owned),
            ref_name: ref_name.map(str::to_owned),
            limit: 10,
            ..BuildFilter::default()
        };
        world.ledger.builds(filter).await.expect("read").into_iter().map(|build| build.id).collect::<Vec<_>>()
    };
    assert_eq!(find(Some(&format!("{:040x}", 0xabcd)), None).await, [id]);
    assert_eq!(find(Some("0000"), None).await.len(), 2);
    assert!(find(Some("000"), None).await.is_empty());
    assert!(find(Some("%' OR 1=1"), None).await.is_empty());
    assert_eq!(find(None, Some("main")).await.len(), 2);
    assert_eq!(find(None, Some("refs/heads/main")).await.len(), 2);
    assert!(find(None, Some("mai")).await.is_empty());
    assert_eq!(find(Some(&format!("{:040x}", 0xabcd)), Some("main")).await, [id]);
    assert!(find(Some(&format!("{:040x}", 0xabcd)), Some("other")).await.is_empty());
}

#[tokio::test]
async fn pages_of_the_list_join_without_gap_or_repeat() {
    let world = World::start().await;
    world.record((0..25).map(|commit| build(commit, &[("test", &[])])).collect()).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page =
            world.ledger.builds(BuildFilter { before, limit: 10, ..BuildFilter::default() }).await.expect("read");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|build| build.number));
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<u64>>());
}
