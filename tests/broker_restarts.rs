//! P5: a restart of the broker kills no running job and loses nothing.

use rabbit_node::Node;

use crate::world::World;

/// Waits until the node has its new queues on disk: it writes them half a second late. A node of 3.10 that is
/// killed before may come back with a queue that takes or gives nothing: the broker's own fault, which
/// these stories are not about.
async fn settle(node: &Node) {
    let on_disk = "timer:sleep(2000), mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]";
    node.eval(on_disk).await.expect("synced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_on_while_the_broker_is_killed_and_started_again() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    let repository = world.repository("app");
    world.start().await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    world.running_job(&commit).await;

    settle(&node).await;
    node.kill().await.expect("killed");
    // The job ends and a commit is pushed while there is no broker at all.
    world.make("go");
    let meanwhile = repository.push_job(&world.append("ran", "meanwhile"));
    node.restart().await.expect("restarted");

    assert_eq!(world.verdict(&commit).await, "passed");
    assert_eq!(world.verdict(&meanwhile).await, "passed");
    assert_eq!(world.lines("ran"), ["1", "meanwhile"], "no attempt was lost");
    assert_eq!(world.builds(&commit).await[0]["jobs"][0]["attempt"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_forgot_everything_is_filled_again_from_the_ledger() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start().await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_COMMIT"), world.until("go")));
    world.running_job(&commit).await;
    let queued: Vec<String> = (0..3).map(|number| repository.commit(&format!("queued {number}"))).collect();
    repository.push();
    world.eventually("the queued builds", || async { (world.builds(&queued[2]).await.len() == 1).then_some(()) }).await;

    settle(&node).await;
    node.kill().await.expect("killed");
    node.wipe().await.expect("wiped");
    node.restart().await.expect("restarted");
    world.make("go");

    for commit in std::iter::once(&commit).chain(&queued) {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    assert_eq!(world.lines("ran").len(), 4, "each ran once");
}
