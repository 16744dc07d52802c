//! P2: every job reaches its verdict even if queues are purged or deleted.

use lapin::options::{QueueDeleteOptions, QueuePurgeOptions};
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
