//! P1, P2 and P3 after a ledger was restored from an older copy: runners and queues know more than it does.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::world::{Carrier, World, lines_in};

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    let done = Command::new("cp").arg("-a").args([from, to]).status().expect("cp starts");
    assert!(done.success(), "copied");
}

/// Ends dispatcher and observer in order: only then is a copy of their folders whole.
async fn stop(world: &mut World) {
    for role in ["observer", "dispatcher"] {
        world.process(role).signal(Signal::TERM);
        assert!(world.process(role).ends().await.success(), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_ledger_and_cursors_of_yesterday_every_commit_since_is_tested_again_and_nothing_is_recorded_twice() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start().await;
    let kept = repository.push_job(&world.append("ran", "kept"));
    assert_eq!(world.verdict(&kept).await, "passed");

    stop(&mut world).await;
    for role in ["dispatcher", "observer"] {
        copy(&world.path(role), &world.path(&format!("{role}-yesterday")));
    }
    world.start_dispatcher().await;
    world.start_observer();
    let done = repository.push_job(&world.append("ran", "done"));
    assert_eq!(world.verdict(&done).await, "passed");
    let running = repository.push_job(&format!("{}; {}", world.append("ran", "running"), world.until("go")));
    world.running_job(&running).await;
    lines_in(&world.path("ran"), 3).await;
    let queued = repository.push_job(&world.append("ran", "queued"));
    world.eventually("the queued build", || async { (world.builds(&queued).await.len() == 1).then_some(()) }).await;

    // The runner goes on with an attempt, and the broker keeps a job, that nobody will know of any more.
    stop(&mut world).await;
    for role in ["dispatcher", "observer"] {
        copy(&world.path(&format!("{role}-yesterday")), &world.path(role));
    }
    world.start_dispatcher().await;
    world.start_observer();
    world.process("runner").says("the attempt is not the current one any more").await;
    world.make("go");

    for commit in [&kept, &done, &running, &queued] {
        assert_eq!(world.verdict(commit).await, "passed");
        assert_eq!(world.builds(commit).await[0]["jobs"][0]["attempt"], 1);
    }
    let ran = world.lines("ran");
    let times = |what: &str| ran.iter().filter(|line| *line == what).count();
    assert_eq!((times("kept"), times("done"), times("running"), times("queued")), (1, 2, 2, 1), "{ran:?}");
    world.process("dispatcher").says("that the ledger does not know was dropped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_ledger_of_yesterday_and_no_cursor_the_tip_of_each_ref_comes_back() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let kept = repository.push_job("true # kept");
    assert_eq!(world.verdict(&kept).await, "passed");
    stop(&mut world).await;
    copy(&world.path("dispatcher"), &world.path("dispatcher-yesterday"));
    world.start_dispatcher().await;
    world.start_observer();
    let tip = repository.push_job("true # tip");
    assert_eq!(world.verdict(&tip).await, "passed");

    stop(&mut world).await;
    copy(&world.path("dispatcher-yesterday"), &world.path("dispatcher"));
    std::fs::remove_dir_all(world.path("observer").join("observer/cursors")).expect("moved away");
    world.start_dispatcher().await;
    world.start_observer();
    assert_eq!(world.verdict(&tip).await, "passed");
    assert_eq!(world.verdict(&kept).await, "passed");
}
