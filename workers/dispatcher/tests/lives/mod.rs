//! A dead life of a runner says its last words late: they start nothing and cost the living one nothing.

use messages::{AttemptNumber, Verdict};

use crate::world::{ONE_JOB, World, settings};

#[tokio::test]
async fn a_stale_beat_of_a_dead_life_does_not_ban_the_living_one_after_a_restart_of_the_dispatcher() {
    let mut world = World::start().await;
    let mut dead = world.runner("north").await;
    // Its words may still be on their way; it takes no jobs any more.
    dead.cut_off();
    let mut living = dead.next_life(&world.bus);
    living.say_hello().await;
    let seen = world.push(ONE_JOB).await;
    let (delivery, held) = living.begin().await;

    world.kill_dispatcher().await;
    // The broker gives back what a dispatcher held that died: the dead life's beat comes first, and again later.
    dead.beat(&[], &[]).await;
    world.dispatcher = Some(world.dispatch(settings()));
    assert_eq!(living.beat_until_answered(&[&held]).await.order, messages::Order::Continue);
    dead.beat(&[], &[]).await;
    assert_eq!(living.beat_until_answered(&[&held]).await.order, messages::Order::Continue);

    living.pass(&held).await;
    delivery.ack().await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    let next = world.push(ONE_JOB).await;
    let (_delivery, held) = living.begin().await;
    living.pass(&held).await;
    assert_eq!(world.verdict(&next).await.verdict, Some(Verdict::Passed), "it is given jobs as before");
}

#[tokio::test]
async fn a_claim_of_a_dead_life_that_waited_for_the_dispatcher_starts_nothing() {
    let mut world = World::start().await;
    let mut dead = world.runner("north").await;
    world.push(ONE_JOB).await;
    let (_delivery, job) = dead.take().await;
    world.kill_dispatcher().await;
    dead.ask_in_vain(job.id).await;
    let mut living = dead.next_life(&world.bus);
    drop(dead);
    living.beat(&[], &[]).await;
    world.dispatcher = Some(world.dispatch(settings()));

    let (_delivery, held) = living.begin().await;
    assert_eq!((held.job, held.attempt), (job.id, AttemptNumber::FIRST), "no attempt was spent on the dead one");
    assert_eq!(world.attempts(job.id).await, [store::AttemptState::Running]);
}
