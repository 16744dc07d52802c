//! P12: embedded and RabbitMQ keep the same promises. `on_both_brokers!` tells most stories over each of them, the
//! conformance suite of the broker crate asks both back-ends the same questions, and here one takes over
//! from the other.

use rustix::process::Signal;

use crate::world::{Carrier, World, lines_in};

#[tokio::test(flavor = "multi_thread")]
async fn moving_to_rabbitmq_is_a_change_of_url_pending_work_included() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.logins.insert("up", "embedded".into());
    world.start_up().await;
    let running = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_COMMIT"), world.until("go")));
    lines_in(&world.path("ran"), 1).await;
    let queued: Vec<String> = (0..3).map(|number| repository.commit(&format!("queued {number}"))).collect();
    repository.push();
    world.eventually("the queued builds", || async { (world.builds(&queued[2]).await.len() == 1).then_some(()) }).await;
    for _ in 0..2 {
        world.process("up").signal(Signal::TERM);
        world.process("up").says("draining").await;
    }
    assert!(world.process("up").ends().await.success());

    world.logins.clear();
    world.make("go");
    world.start_up().await;
    for commit in std::iter::once(&running).chain(&queued) {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    let ran = world.lines("ran");
    assert_eq!(ran.len(), 5, "the job that was given back began twice, the others once: {ran:?}");
}
