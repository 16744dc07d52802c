//! A queued job has an outbox row, and what was published can be published again.

use messages::PoolName;
use store::{LossCause, Unpublish};

use super::fixture::{World, build, new_job};

#[tokio::test]
async fn a_confirmed_publication_is_not_made_again_until_the_job_is_queued_again() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let job = world.job(build, "test").await.id;
    world.ledger.mark_published(world.epoch, vec![job]).await.expect("written");
    assert!(world.to_publish().await.is_empty());
    let published = world.ledger.published().await.expect("read");
    assert_eq!((published[0].job, published[0].publications), (job, 1));

    let held = world.claim(job, "north").await;
    assert!(world.ledger.published().await.expect("read").is_empty(), "an attempt holds it");
    world.ledger.mark_published(world.epoch, vec![job]).await.expect("a confirm later than the claim");
    world.lose(&held, LossCause::RunnerLost).await;
    assert_eq!(world.to_publish().await, [job]);
}

#[tokio::test]
async fn a_lost_queue_makes_its_jobs_unpublished_and_no_others() {
    let world = World::start().await;
    let mut other = build(2, &[("test", &[])]);
    let mut slow = new_job("slow", &[]);
    slow.pool = "big".parse().expect("a pool");
    other.plan = Ok(vec![slow]);
    world.record(vec![build(1, &[("test", &[])]), other]).await;
    let big: PoolName = "big".parse().expect("a pool");
    let in_big = world.ledger.unpublished(&big, 10).await.expect("read")[0].job.id;
    let in_default = world.to_publish().await[0];
    let all = vec![in_big, in_default];
    assert_eq!(world.ledger.pools_with_work().await.expect("read"), [big.clone(), PoolName::default()]);

    world.ledger.mark_published(world.epoch, all.clone()).await.expect("written");
    let forget = async |which| world.ledger.mark_unpublished(world.epoch, which).await.expect("written");
    assert_eq!(forget(Unpublish::Pool(big.clone())).await, 1);
    assert_eq!(forget(Unpublish::Pool(big.clone())).await, 0);
    assert!(world.to_publish().await.is_empty());
    assert_eq!(forget(Unpublish::Jobs(all)).await, 1);
    world.ledger.mark_published(world.epoch, vec![in_big]).await.expect("written");
    assert_eq!(forget(Unpublish::Everything).await, 1);
    assert_eq!(world.ledger.unpublished(&big, 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn jobs_are_published_in_the_order_of_their_commits_and_a_lost_one_keeps_its_place() {
    let world = World::start().await;
    world.record((0..100).map(|commit| build(commit, &[("test", &[])])).collect()).await;
    let order = world.to_publish().await;
    assert_eq!(order.len(), 100);
    let held = world.claim(order[0], "north").await;
    world.lose(&held, LossCause::Infrastructure).await;
    assert_eq!(world.to_publish().await, order);
    assert_eq!(world.ledger.unpublished(&PoolName::default(), 3).await.expect("read").len(), 3);
}
