//! P2: every job reaches its verdict even if queues are purged or deleted.

use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use crate::world::{Carrier, World};

async fn channel(world: &World) -> (Connection, lapin::Channel) {
    let connection = Connection::connect(world.broker_url(), ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

/// One job runs, three wait behind it in the ledger and in the pool's queue.
async fn crowd(world: &mut World) -> (crate::world::Repository, Vec<String>) {
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start().await;
    let first = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_COMMIT"), world.until("go")));
    world.running_job(&first).await;
    let mut commits = vec![first];
    commits.extend((0..3).map(|number| repository.commit(&format!("queued {number}"))));
    repository.push();
    world
        .eventually("the queued builds", || async { (world.builds(&commits[3]).await.len() == 1).then_some(()) })
        .await;
    (repository, commits)
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_jobs_are_published_again() {
    let mut world = World::new(Carrier::Rabbit).await;
    let (_repository, commits) = crowd(&mut world).await;
    let (_connection, channel) = channel(&world).await;
    channel.queue_purge("thump.jobs.default".into(), QueuePurgeOptions::default()).await.expect("purged");
    world.make("go");
    for commit in &commits {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    assert_eq!(world.lines("ran").len(), commits.len(), "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_queues_are_made_again_and_filled() {
    let mut world = World::new(Carrier::Rabbit).await;
    let (_repository, commits) = crowd(&mut world).await;
    let (_connection, channel) = channel(&world).await;
    for queue in ["thump.jobs.default", "thump.results", "thump.commits", "thump.logs"] {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("deleted");
    }
    world.make("go");
    for commit in &commits {
        assert_eq!(world.verdict(commit).await, "passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_reply_queue_is_made_again_although_somebody_else_takes_its_messages() {
    let mut world = World::new(Carrier::Rabbit).await;
    let repository = world.repository("app");
    world.start().await;
    assert_eq!(world.verdict(&repository.push_job("true")).await, "passed");
    let (_connection, channel) = channel(&world).await;
    // With this queue no publish to the exchange is ever returned.
    let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("somebody".into(), own, FieldTable::default()).await.expect("declared");
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("somebody".into(), "thump.results".into(), "#".into(), bind, FieldTable::default())
        .await
        .expect("bound");
    channel.queue_delete("thump.results".into(), QueueDeleteOptions::default()).await.expect("deleted");
    let next = repository.commit("again");
    repository.push();
    assert_eq!(world.verdict(&next).await, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_somebody_made_differently_is_told_of_once_and_works_after_it_was_deleted() {
    let mut world = World::new(Carrier::Rabbit).await;
    let repository = world.repository("app");
    let (_connection, channel) = channel(&world).await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("thump.jobs.default".into(), durable, FieldTable::default()).await.expect("declared");
    world.start().await;
    let commit = repository.push_job(&world.append("ran", "$THUMP_COMMIT"));
    world.eventually("the build", || async { (world.builds(&commit).await.len() == 1).then_some(()) }).await;
    world.process("dispatcher").says("a queue cannot be used").await;
    // Some rounds of the publisher, which meets the queue each time, are made while the next commit comes in.
    let next = repository.push_job(&world.append("ran", "$THUMP_COMMIT"));
    world.eventually("the next build", || async { (world.builds(&next).await.len() == 1).then_some(()) }).await;

    channel.queue_delete("thump.jobs.default".into(), QueueDeleteOptions::default()).await.expect("deleted");
    for commit in [&commit, &next] {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    let said = world.process("dispatcher").output();
    assert_eq!(said.matches("a queue cannot be used").count(), 1, "{said}");
    assert!(said.contains("the queue can be used again"), "{said}");
}
