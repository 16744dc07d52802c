//! P2 and P3: a dispatcher that is frozen is succeeded, and when it wakes up it changes nothing any more.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::world::{Carrier, World};

/// Freezes the leader for at least this long, has commits pushed and a job end meanwhile, and wakes it up.
async fn a_leader_is_frozen_for(least: Duration) {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    world.process("dispatcher").says("leading").await;
    world.start_standby();
    world.process("standby").says("waiting").await;
    let running = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_COMMIT"), world.until("go")));
    world.running_job(&running).await;

    world.process("dispatcher").signal(Signal::STOP);
    let frozen = Instant::now();
    world.make("go");
    let meanwhile = repository.push_job(&world.append("ran", "$THUMP_COMMIT"));
    world.follow_standby().await;
    for commit in [&running, &meanwhile] {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    // Time is what this story is about: the longer form lets every time-out of the broker pass.
    tokio::time::sleep(least.saturating_sub(frozen.elapsed())).await;

    world.process("dispatcher").signal(Signal::CONT);
    world.process("dispatcher").says("another dispatcher leads now").await;
    let after = repository.push_job(&format!("{} # after", world.append("ran", "$THUMP_COMMIT")));
    for commit in [&running, &meanwhile, &after] {
        assert_eq!(world.verdict(commit).await, "passed");
        assert_eq!(world.builds(commit).await[0]["jobs"][0]["attempt"], 1, "nothing ran twice");
    }
    assert_eq!(world.lines("ran"), [running, meanwhile, after]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_is_succeeded_and_wakes_up_as_nobody() {
    a_leader_is_frozen_for(Duration::ZERO).await;
}

/// `cargo test --test stories -- --ignored a_leader_that_wakes_up_after_95_s_changes_nothing`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes; the short form runs always"]
async fn a_leader_that_wakes_up_after_95_s_changes_nothing() {
    a_leader_is_frozen_for(Duration::from_secs(95)).await;
}
