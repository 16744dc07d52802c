//! What must not go wrong between a commit and its verdict, told with a real broker and a real ledger.

mod lives;
mod takeover;
mod world;

use broker::{Event, Exchange, Queue};
use messages::{ClaimAnswer, DropReason, Order, Outcome, Verdict};
use store::AttemptState;

use world::{ONE_JOB, Runner, World, commit, settings, short_lease};

#[tokio::test]
async fn a_commit_becomes_a_job_and_then_a_verdict() {
    let world = World::start().await;
    let mut ear = world.listen();
    let seen = world.push(ONE_JOB).await;
    assert_eq!(ear.recorded().await.commits, [seen.message_id()]);

    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    assert_eq!(delivery.envelope.as_ref().expect("well-formed").reply_to.as_deref(), Some("thump.results"));
    north.pass(&held).await;
    delivery.ack().await;

    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(north.order(&held).await.order, Order::Recorded);
}

#[tokio::test]
async fn a_commit_that_is_announced_twice_is_built_once_and_answered_twice() {
    let world = World::start().await;
    let mut ear = world.listen();
    let seen = world.push(ONE_JOB).await;
    ear.recorded().await;
    world.announce(&seen).await;
    assert_eq!(ear.recorded().await.commits, [seen.message_id()]);
    assert_eq!(world.builds(&seen).await.len(), 1);
}

#[tokio::test]
async fn a_second_copy_of_a_job_is_dropped_and_a_repeated_question_gets_the_same_answer() {
    let world = World::start().await;
    world.push(ONE_JOB).await;
    let (mut north, south) = (world.runner("north").await, world.runner("south").await);
    let (_delivery, held) = north.begin().await;
    let again = north.claim_to_run(held.job).await;
    assert_eq!((again.attempt, &again.token), (held.attempt, &held.token));
    assert_eq!(south.claim(held.job).await, ClaimAnswer::Drop { reason: DropReason::HeldElsewhere });
}

#[tokio::test]
async fn a_result_that_comes_twice_is_recorded_once() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    north.pass(&held).await;
    world.verdict(&seen).await;
    assert_eq!(north.order(&held).await.order, Order::Recorded);
    north.finish(&held, Outcome::Failed, b"").await;
    assert_eq!(north.order(&held).await.order, Order::Recorded);
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(south_claim(&world, &held).await, ClaimAnswer::Drop { reason: DropReason::Finished });
}

async fn south_claim(world: &World, held: &world::Held) -> ClaimAnswer {
    world.runner("south").await.claim(held.job).await
}

#[tokio::test]
async fn the_job_of_a_silent_runner_goes_to_another_and_its_late_result_does_not_count() {
    let world = World::start_with(short_lease()).await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, stale) = north.begin().await;
    // North is silent from here on. Its delivery is never given back, so only the lease can tell.
    let mut south = world.runner("south").await;
    let (_second, held) = south.begin().await;
    assert_eq!((held.job, held.attempt), (stale.job, stale.attempt.next()));

    north.finish(&stale, Outcome::Failed, b"").await;
    assert_eq!(north.order(&stale).await.order, Order::Void);
    south.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::Lost, AttemptState::Finished]);
    delivery.ack().await;
}

#[tokio::test]
async fn a_runner_that_beats_keeps_its_job_beyond_the_lease() {
    let world = World::start_with(short_lease()).await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < short_lease().lease * 3 {
        north.beat(&[&held], &[]).await;
        assert_eq!(north.order(&held).await.order, Order::Continue);
        tokio::time::sleep(short_lease().lease / 20).await;
    }
    north.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::Finished]);
}

#[tokio::test]
async fn what_a_new_life_of_a_runner_does_not_list_is_void_at_once() {
    let world = World::start().await;
    world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, old) = north.begin().await;
    drop(delivery);
    drop(north);
    // The lease would last for a minute.
    let mut reborn = world.runner("north").await;
    let (_delivery, held) = reborn.begin().await;
    assert_eq!((held.job, held.attempt), (old.job, old.attempt.next()));
    assert_eq!(world.attempts(old.job).await, [AttemptState::Lost, AttemptState::Running]);
}

#[tokio::test]
async fn a_result_that_a_new_life_still_has_in_its_spool_counts() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    delivery.ack().await;
    drop(north);
    let mut reborn = Runner::start(&world.bus, "north", 1);
    reborn.beat(&[], &[&held]).await;
    assert_eq!(reborn.order(&held).await.order, Order::Continue);
    reborn.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::Finished]);
}

#[tokio::test]
async fn a_job_whose_message_vanished_is_published_again() {
    let world = World::start().await;
    let thief = world.bus.connect(broker::Role { name: "thief".to_owned(), declares_topology: false });
    let mut jobs = thief.consume(Queue::Jobs(messages::PoolName::default()), 1);
    let seen = world.push(ONE_JOB).await;
    let stolen = world::patiently("the message", async {
        loop {
            if let Some(Event::Delivery(delivery)) = jobs.next().await {
                return delivery;
            }
        }
    });
    stolen.await.ack().await;
    jobs.stop().await;
    drop((jobs, thief));

    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    north.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
}

#[tokio::test]
async fn a_message_that_cannot_be_understood_is_put_aside_once_and_the_next_one_is_handled() {
    let world = World::start().await;
    let mut ear = world.listen();
    world.send_rubbish(Exchange::Commits, "north", "commit_seen").await;
    world.send_rubbish(Exchange::Results, "claim.north", "claim").await;
    world.send_rubbish(Exchange::Results, "result.north", "poem").await;
    world.send_rubbish(Exchange::Logs, "north", "log_chunk").await;
    // The observer hears of it, or it would announce the same for ever.
    assert_eq!(ear.recorded().await.refused.len(), 1);

    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    north.log(&held, 0, b"hello").await;
    north.finish(&held, Outcome::Passed, b"hello").await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(north.order(&held).await.log_from, None);

    let kept = || async {
        let letters = world.ledger.dead_letters(None, 10).await.expect("read");
        (letters.len() >= 4).then_some(letters)
    };
    let letters = world.until("the letters are kept", kept).await;
    assert_eq!(letters.len(), 4, "each once: {letters:?}");
}

#[tokio::test]
async fn a_typo_in_the_pipeline_makes_an_errored_build_that_says_where() {
    let world = World::start().await;
    let seen = world.push("[[job]]\nname = \"test\"\nstpes = [\"true\"]\n").await;
    let build = world.verdict(&seen).await;
    assert_eq!(build.verdict, Some(Verdict::Errored));
    let reason = build.reason.expect("a reason").detail;
    assert!(reason.contains('3') && reason.contains("steps"), "{reason}");
}

#[tokio::test]
async fn a_dispatcher_that_was_killed_goes_on_where_it_stood() {
    let mut world = World::start().await;
    let running = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_first, held) = north.begin().await;
    let queued = world.push(ONE_JOB).await;
    world.build(&queued).await;
    world.kill_dispatcher().await;

    // While nobody dispatches: a result, and a new commit.
    north.pass(&held).await;
    let unread = world.push(ONE_JOB).await;
    world.dispatcher = Some(world.dispatch(settings()));
    assert_eq!(world.verdict(&running).await.verdict, Some(Verdict::Passed));
    let mut south = world.runner("south").await;
    for seen in [&queued, &unread] {
        let (delivery, held) = south.begin().await;
        south.pass(&held).await;
        delivery.ack().await;
        assert_eq!(world.verdict(seen).await.verdict, Some(Verdict::Passed));
    }
    assert_eq!(world.attempts(held.job).await, [AttemptState::Finished]);
}

#[tokio::test]
async fn of_two_dispatchers_one_waits_until_the_other_is_gone() {
    let mut world = World::start().await;
    let second = world.dispatch(settings());
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    world.stop_dispatcher().await;
    north.pass(&held).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    delivery.ack().await;
    second.stop().await;
}

#[tokio::test]
async fn a_cancel_reaches_the_runner_at_once_and_by_every_beat() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    assert!(world.ledger.cancel_job(held.job, "test").await.expect("written"));
    assert_eq!(north.cancelled().await.attempt, held.attempt);
    for _ in 0..2 {
        north.beat(&[&held], &[]).await;
        assert_eq!(north.order(&held).await.order, Order::Cancel);
    }
    north.finish(&held, Outcome::Cancelled, b"").await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Cancelled));
}

#[tokio::test]
async fn a_job_that_was_cancelled_in_the_queue_is_dropped_when_it_is_claimed() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, job) = north.take().await;
    assert!(world.ledger.cancel_job(job.id, "test").await.expect("written"));
    assert!(matches!(north.claim(job.id).await, ClaimAnswer::Drop { .. }));
    delivery.ack().await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Cancelled));
}

#[tokio::test]
async fn a_job_that_is_tried_again_by_a_person_is_published_without_waiting() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    north.finish(&held, Outcome::Failed, b"").await;
    delivery.ack().await;
    world.verdict(&seen).await;
    let again = world.ledger.retry_job(held.job, "test").await.expect("written").expect("it is done");
    let (_delivery, retried) = north.begin().await;
    assert_eq!(retried.job, again);
}

#[tokio::test]
async fn a_job_that_was_handed_back_is_run_by_another_and_lost_no_attempt() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (delivery, held) = north.begin().await;
    north.hand_back(&held).await;
    assert_eq!(north.order(&held).await.order, Order::Recorded);
    delivery.ack().await;
    drop(north);
    let mut south = world.runner("south").await;
    let (_delivery, second) = south.begin().await;
    south.pass(&second).await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.attempts(held.job).await, [AttemptState::HandedBack, AttemptState::Finished]);
}

#[tokio::test]
async fn a_hole_in_a_log_is_asked_for_and_the_verdict_does_not_wait() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    north.log(&held, 0, b"one ").await;
    // The chunk at 4 is lost.
    north.log(&held, 8, b"three").await;
    assert_eq!(north.order(&held).await.log_from, Some(4));
    north.finish(&held, Outcome::Passed, b"one two three").await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    north.log(&held, 4, b"two three").await;
    let order = north.order(&held).await;
    assert_eq!((order.order, order.log_from), (Order::Recorded, None));
    let log = world.ledger.logs().read(held.job, held.attempt, 0, 100).await.expect("read");
    assert_eq!(log, b"one two three");
}

#[tokio::test]
async fn a_stranger_cannot_end_or_spoil_the_attempt_of_another() {
    let world = World::start().await;
    let seen = world.push(ONE_JOB).await;
    let mut north = world.runner("north").await;
    let (_delivery, held) = north.begin().await;
    let mallory = Runner::start(&world.bus, "mallory", 1);
    let forged = world::Held { token: messages::AttemptToken::from_random([9; 16]), ..held.clone() };
    mallory.finish(&forged, Outcome::Failed, b"").await;
    mallory.log(&forged, 0, b"lies").await;
    mallory.hand_back(&forged).await;
    north.beat(&[&held], &[]).await;
    assert_eq!(north.order(&held).await.order, Order::Continue);
    north.finish(&held, Outcome::Passed, b"truth").await;
    north.log(&held, 0, b"truth").await;
    assert_eq!(world.verdict(&seen).await.verdict, Some(Verdict::Passed));
    assert_eq!(north.order(&held).await.order, Order::Recorded);
    assert_eq!(world.ledger.logs().read(held.job, held.attempt, 0, 100).await.expect("read"), b"truth");
}

#[tokio::test]
async fn fifty_commits_at_once_are_all_tested_exactly_once() {
    let world = World::start().await;
    let commits: Vec<_> = (0..50).map(|n| commit(["north", "south"][n % 2], ONE_JOB)).collect();
    for seen in &commits {
        world.announce(seen).await;
    }
    let mut runner = Runner::start(&world.bus, "north", 4);
    runner.beat(&[], &[]).await;
    for _ in 0..50 {
        let (delivery, held) = runner.begin().await;
        runner.pass(&held).await;
        delivery.ack().await;
    }
    for seen in &commits {
        let build = world.verdict(seen).await;
        assert_eq!(build.verdict, Some(Verdict::Passed));
        assert_eq!(world.builds(seen).await.len(), 1);
        assert_eq!(world.attempts(build.jobs[0].id).await.len(), 1);
    }
}

#[tokio::test]
async fn a_ledger_that_is_locked_for_a_while_loses_no_message_and_puts_none_aside() {
    let world = World::start().await;
    let mut north = world.runner("north").await;
    let before = world.push(ONE_JOB).await;
    let (delivery, held) = north.begin().await;
    let lock = world.lock_ledger().await;
    north.pass(&held).await;
    delivery.ack().await;
    let meanwhile = world.push(ONE_JOB).await;
    // Both messages return to their queues when the dispatcher gives up waiting for the lock.
    let given_back = || async {
        let results = world.depth(&Queue::Results).await;
        (world.depth(&Queue::Commits).await > 0 && results > 0).then_some(())
    };
    world.until("the messages are in their queues", given_back).await;
    drop(lock);

    assert_eq!(world.verdict(&before).await.verdict, Some(Verdict::Passed));
    let (_delivery, held) = north.begin().await;
    north.pass(&held).await;
    assert_eq!(world.verdict(&meanwhile).await.verdict, Some(Verdict::Passed));
    assert_eq!(world.ledger.dead_letters(None, 10).await.expect("read").len(), 0);
}
