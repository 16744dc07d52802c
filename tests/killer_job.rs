//! P6: a job that kills its runners ends `errored` and parked, and never circulates for ever.

use crate::world::{Carrier, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_runner_three_times_is_parked_and_others_go_on() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("runner-0");
    let commit = repository.push_job(&format!("{}; sleep 600", world.append("ran", "$THUMP_ATTEMPT")));
    for death in 0..3 {
        let holder = format!("runner-{death}");
        world
            .eventually("the next attempt", || async {
                (world.running_job(&commit).await["runner"] == holder.as_str()).then_some(())
            })
            .await;
        world.process(&holder).kill();
        world.start_runner(&format!("runner-{}", death + 1));
    }

    assert_eq!(world.verdict(&commit).await, "errored");
    let build = world.builds(&commit).await[0].clone();
    assert!(build.to_string().contains("runner_lost") || build.to_string().contains("lost 3 times"), "{build}");
    let next = repository.push_job("true");
    assert_eq!(world.verdict(&next).await, "passed");
}
