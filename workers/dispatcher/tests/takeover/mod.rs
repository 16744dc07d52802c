//! What happens to the jobs of a runner that died: taken over, or left until their leases end.

use messages::{ClaimAnswer, DropReason, Order, Verdict};
use store::AttemptState;

use crate::world::{ONE_JOB, Runner, World, settings};

#[tokio::test]
async fn the_job_of_a_dead_runner_goes_to_another_long_before_its_lease_ends() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, lost) = north.begin().await;
    let mut south = world.runner("south").await;
    drop((delivery, north));
    // The lease would last for a minute.
    let (_second, held) = south.begin().await;
    assert_eq!((held.job, held.attempt), (lost.job, lost.attempt.next()));
    south.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::Lost, AttemptState::Finished]);
    let detail = &world.ledger.attempts(held.job).await.expect("read")[0].detail;
    assert!(detail.contains("nobody listened for it"), "{detail}");
}

#[tokio::test]
async fn all_jobs_of_a_dead_runner_go_to_others_at_once() {
    let world = World::start().await;
    let mut north = Runner::start(&world.bus, "north", 3);
    north.say_hello().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        world.push(ONE_JOB).await;
        held.push(north.begin().await);
    }
    let mut south = world.runner("south").await;
    drop((north, held));
    // One slot: the second and third copy are claimed when their jobs are free already.
    for _ in 0..3 {
        let (delivery, second) = south.begin().await;
        assert_eq!(second.attempt, messages::AttemptNumber::FIRST.next());
        south.pass(&second).await;
        delivery.ack().await;
    }
}

#[tokio::test]
async fn a_copy_of_a_job_whose_holder_lives_is_dropped_and_its_later_death_is_found() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    let mut south = world.runner("south").await;
    // As after a short break of north's connection: its delivery is void, its queue is there again.
    assert_eq!(south.claim_copy(held.job).await, ClaimAnswer::Drop { reason: DropReason::HeldElsewhere });
    north.beat(&[&held], &[]).await;
    assert_eq!(north.order(&held).await.order, Order::Continue);
    // The copy is gone for good: no redelivery will tell that north dies now.
    delivery.ack().await;
    drop(north);
    let (_second, second) = south.begin().await;
    assert_eq!((second.job, second.attempt), (held.job, held.attempt.next()));
    south.pass(&second).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
}

#[tokio::test]
async fn of_two_runners_that_claim_a_dead_ones_job_one_gets_it() {
    let world = World::start().await;
    world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    let (south, west) = (world.runner("south").await, world.runner("west").await);
    delivery.ack().await;
    drop(north);
    let (first, second) = tokio::join!(south.claim_copy(held.job), west.claim_copy(held.job));
    let runs =
        |answer: &ClaimAnswer| matches!(answer, ClaimAnswer::Run { attempt, .. } if *attempt == held.attempt.next());
    assert!(runs(&first) != runs(&second), "{first:?}, {second:?}");
    let dropped = ClaimAnswer::Drop { reason: DropReason::HeldElsewhere };
    assert!(first == dropped || second == dropped, "{first:?}, {second:?}");
}

#[tokio::test]
async fn the_last_words_of_a_dead_runner_win_over_the_claim_that_waits() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    let south = world.runner("south").await;
    delivery.ack().await;
    north.cut_off();
    let last_words = async {
        // Between the two probes, as far as that can be told from outside; the order does not matter.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        north.pass(&held).await;
    };
    let (answer, ()) = tokio::join!(south.claim_copy(held.job), last_words);
    assert_eq!(answer, ClaimAnswer::Drop { reason: DropReason::Finished });
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::Finished]);
}

#[tokio::test]
async fn a_runner_that_comes_back_within_the_grace_keeps_its_job() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    let south = world.runner("south").await;
    delivery.ack().await;
    north.cut_off();
    let comes_back = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        north.reconnect();
        north.beat(&[&held], &[]).await;
        assert_eq!(north.order(&held).await.order, Order::Continue);
    };
    let (answer, ()) = tokio::join!(south.claim_copy(held.job), comes_back);
    assert_eq!(answer, ClaimAnswer::Drop { reason: DropReason::HeldElsewhere });
    north.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::Finished]);
}

#[tokio::test]
async fn when_several_runners_vanish_at_once_each_keeps_its_job_until_its_lease_ends() {
    let world = World::start_with(patient_lease()).await;
    world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    let (south, west) = (world.runner("south").await, world.runner("west").await);
    delivery.ack().await;
    drop((north, west));
    assert_eq!(south.claim_copy(held.job).await, ClaimAnswer::Drop { reason: DropReason::HeldElsewhere });
    let lost = || async { (world.attempts(held.job).await[0] == AttemptState::Lost).then_some(()) };
    world.until("the end of the lease", lost).await;
    let detail = &world.ledger.attempts(held.job).await.expect("read")[0].detail;
    assert!(detail.contains("lease"), "{detail}");
}

/// Long enough for two probes, short enough to wait for its end.
fn patient_lease() -> dispatcher::Settings {
    dispatcher::Settings { lease: std::time::Duration::from_secs(3), ..settings() }
}
