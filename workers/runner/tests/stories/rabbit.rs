//! The same runner on a real RabbitMQ, and what a restart of it costs: nothing.

use messages::Outcome;

use crate::world::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_ends_no_running_job_and_runs_none_twice() {
    let node = rabbit_node::Node::start().await.expect("boots");
    let world = World::on_rabbit(node.url()).await;
    let runner = world.start();
    let path = |name: &str| world.folder.path().join(name).to_str().expect("is text").to_owned();
    let mut job = world.job(&["echo begun | tee -a \"$MARK\"; while ! [ -e \"$GO\" ]; do sleep 0.02; done; echo done"]);
    job.spec.env.insert("MARK".into(), path("mark"));
    job.spec.env.insert("GO".into(), path("go"));
    world.publish(&job).await;
    world.until_logged(&job, "\nbegun\n").await;

    node.kill().await.expect("kills");
    node.restart().await.expect("boots again");
    // Its copy comes back to the only runner there is: it is held, and not started.
    let beats = world.ledger().beats.len();
    world.until(|ledger| (ledger.beats.len() > beats).then_some(())).await;
    std::fs::write(path("go"), "").expect("writes");

    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed);
    assert!(log.ends_with("\ndone\n"), "{log}");
    assert_eq!(std::fs::read_to_string(path("mark")).expect("reads"), "begun\n", "once");

    let next = world.queue(&["true"]).await;
    assert_eq!(world.result(&next).await.0.outcome, Outcome::Passed);
    eventually("the spool is empty", || {
        std::fs::read_dir(world.data().join("runner-1/spool")).expect("reads").count() == 0
    })
    .await;
    runner.drain().await;
    world.broker.close().await;
}
