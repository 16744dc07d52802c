//! Queues and runners as pages show them.

use messages::{Birth, Outcome};
use store::{RunnerSeen, RunnerState};

use super::fixture::{World, build, life_of};

fn beat(name: &str, draining: bool) -> RunnerSeen {
    RunnerSeen {
        name: name.parse().expect("a name"),
        incarnation: life_of(name, 1),
        birth: Birth { folder: uuid::Uuid::nil(), number: 1 },
        pool: messages::PoolName::default(),
        slots: 2,
        draining,
        trouble: None,
        version: "0.1.0".into(),
    }
}

#[tokio::test]
async fn a_runner_is_idle_busy_draining_or_gone() {
    let world = World::start().await;
    let id = world.push(1, &[("test", &[])]).await;
    let state = async || world.ledger.runners().await.expect("read").remove(0).state;
    world.ledger.runner_seen(world.epoch, beat("north", false)).await.expect("written");
    assert_eq!(state().await, RunnerState::Idle);
    let held = world.claim(world.job(id, "test").await.id, "north").await;
    assert_eq!(state().await, RunnerState::Busy);
    let view = world.ledger.runners().await.expect("read").remove(0);
    assert_eq!((view.attempts[0].job, view.attempts[0].job_name.as_str()), (held.job, "test"));
    world.ledger.runner_seen(world.epoch, beat("north", true)).await.expect("written");
    assert_eq!(state().await, RunnerState::Draining);
    world.report(&held, Outcome::Passed).await;
    world.ledger.runner_gone(world.epoch, &held.runner).await.expect("written");
    assert_eq!(state().await, RunnerState::Gone);
    world.ledger.runner_seen(world.epoch, beat("north", false)).await.expect("written");
    assert_eq!(state().await, RunnerState::Idle);
}

#[tokio::test]
async fn a_beat_like_the_last_one_wakes_nobody() {
    let world = World::start().await;
    world.ledger.runner_seen(world.epoch, beat("north", false)).await.expect("written");
    let before = *world.ledger.changes().borrow();
    world.ledger.runner_seen(world.epoch, beat("north", false)).await.expect("written");
    assert_eq!(*world.ledger.changes().borrow(), before);
}

#[tokio::test]
async fn a_queue_shows_what_waits_is_queued_and_runs() {
    let world = World::start().await;
    world.ledger.runner_seen(world.epoch, beat("north", false)).await.expect("written");
    let empty = world.ledger.queues().await.expect("read").remove(0);
    assert_eq!((empty.waiting, empty.queued, empty.running, empty.oldest_queued_at), (0, 0, 0, None));

    world.record((0..5).map(|commit| build(commit, &[("test", &[]), ("ship", &[0])])).collect()).await;
    let job = world.to_publish().await[0];
    world.claim(job, "north").await;
    let queue = world.ledger.queues().await.expect("read").remove(0);
    assert_eq!((queue.waiting, queue.queued, queue.running), (5, 4, 1));
    assert!(queue.oldest_queued_at.is_some());
}
