//! What the window and the fair order promise.

use jiff::Timestamp;
use messages::{BuildId, Job, JobId, JobSpec, MessageId, PoolName, RepositorySource, Work};
use proptest::prelude::*;
use store::Unpublished;

use super::*;

fn queued(repository: &str, number: u64) -> Unpublished {
    let id = MessageId::of(&[repository, &number.to_string()]).0;
    let job = Job {
        id: JobId(id),
        build: BuildId(id),
        build_number: number,
        repository: RepositorySource { name: repository.parse().expect("a name"), url: "/nowhere".into() },
        ref_name: "refs/heads/main".parse().expect("a ref"),
        commit: "a".repeat(40).parse().expect("an id"),
        name: "test".into(),
        pool: PoolName::default(),
        spec: JobSpec::new(Work::Recognise, 60),
    };
    Unpublished { job, queued_at: Timestamp::UNIX_EPOCH }
}

fn take(backlog: &mut Backlog, count: usize) -> Vec<String> {
    let next = || backlog.next().map(|next| format!("{}{}", next.job.repository.name, next.job.build_number));
    std::iter::from_fn(next).take(count).collect()
}

#[test]
fn a_runner_that_nobody_knows_yet_finds_a_job_but_not_the_whole_backlog() {
    assert_eq!(window(&[], 5, 0), WITHOUT_RUNNERS);
    assert_eq!(window(&[], 5, WITHOUT_RUNNERS + 1), 0);
}

#[test]
fn a_busy_slot_is_given_its_next_job_ahead() {
    assert_eq!(window(&[Capacity { slots: 1, running: 1 }], 1, 0), 1);
    assert_eq!(window(&[Capacity { slots: 1, running: 1 }], 1, 1), 0);
    assert_eq!(window(&[Capacity { slots: 1, running: 1 }], 0, 0), 0);
}

#[test]
fn one_large_push_does_not_delay_the_other_repositories() {
    let mut backlog = Backlog::default();
    let mut all: Vec<_> = (1..=5).map(|number| queued("a", number)).collect();
    all.extend([queued("b", 1), queued("b", 2), queued("c", 1)]);
    backlog.refill(all);
    assert_eq!(take(&mut backlog, 8), ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "a5"]);
    assert!(backlog.is_empty());
}

#[test]
fn a_repository_with_one_new_commit_after_the_other_does_not_starve_the_rest() {
    let mut backlog = Backlog::default();
    let mut order = Vec::new();
    for number in 1..=3 {
        // One slot only, and the ledger is read before each publication.
        backlog.refill(vec![queued("bulk", number), queued("bulk", number + 1), queued("drip", number)]);
        order.extend(take(&mut backlog, 1));
        backlog.refill(vec![queued("bulk", number + 1), queued("drip", number)]);
        order.extend(take(&mut backlog, 1));
    }
    assert_eq!(order.iter().filter(|name| name.starts_with("bulk")).count(), 3, "{order:?}");
}

proptest! {
    #[test]
    fn the_window_never_exceeds_what_slots_and_look_ahead_can_take(
        runners in prop::collection::vec((any::<u32>(), 0_usize..50), 1..6), look_ahead in 0_u32..4, afloat in 0_usize..100,
    ) {
        let runners: Vec<_> = runners.into_iter().map(|(slots, running)| Capacity { slots, running }).collect();
        let slots: usize = runners.iter().map(|runner| runner.slots.min(MOST_SLOTS) as usize).sum();
        let most = slots * (1 + look_ahead as usize);
        let room = window(&runners, look_ahead, afloat);
        prop_assert!(room == 0 || room + afloat <= most);
        // Nor is a free slot left without a job.
        let free: usize = runners.iter().map(|r| (r.slots.min(MOST_SLOTS) as usize).saturating_sub(r.running)).sum();
        prop_assert!(room + afloat >= free);
    }

    #[test]
    fn every_job_comes_once_and_in_order_within_its_repository(repositories in prop::collection::vec(0_usize..4, 0..60)) {
        let names = ["a", "b", "c", "d"];
        let jobs: Vec<_> = repositories.iter().enumerate().map(|(at, name)| queued(names[*name], at as u64)).collect();
        let mut backlog = Backlog::default();
        backlog.refill(jobs);
        let mut last = HashMap::new();
        let mut count = 0;
        while let Some(next) = backlog.next() {
            count += 1;
            let before = last.insert(next.job.repository.name.clone(), next.job.build_number);
            prop_assert!(before.is_none_or(|before| before < next.job.build_number));
        }
        prop_assert_eq!(count, repositories.len());
    }
}
