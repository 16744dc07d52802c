//! What only a broker outside the process can suffer: a cut line, a restart, somebody else's hand.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use rabbit_node::Node;

use super::Fixture;
use super::rabbit_fixture::OnRabbit;
use super::verbs::*;
use crate::{Broker, ConsumeError, Consumer, Event, Link, PublishError, Queue, RequestError, Settled};

/// Waits until the link is down, or up with another connection than `before`.
async fn link(broker: &Broker, what: &str, is_so: impl FnMut(&Link) -> bool) -> Link {
    let mut link = broker.link();
    let seen = in_time(what, link.wait_for(is_so)).await;
    seen.expect("the broker lives").clone()
}

fn is_up(link: &Link, least: u64) -> bool {
    matches!(link, Link::Up { generation } if *generation >= least)
}

/// Reads events until the consumer says that it is interrupted.
async fn interrupted(consumer: &mut Consumer) {
    match event(consumer).await {
        Some(Event::Interrupted { why }) => assert!(!why.is_empty(), "an interruption without a reason"),
        other => panic!("expected an interruption, got {other:?}"),
    }
}

/// Reads events until it consumes again; how often it was interrupted on the way is its own affair.
async fn resumed_again(consumer: &mut Consumer) {
    loop {
        match event(consumer).await {
            Some(Event::Resumed) => return,
            Some(Event::Interrupted { .. }) => {}
            other => panic!("expected to consume again, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_closes_gives_back_what_it_held() {
    let fixture = OnRabbit::start().await;
    let client = with_topology(&fixture).await;
    publish_jobs(&client, 0..2).await;
    let (connection, channel) = fixture.stranger().await;
    channel.basic_qos(2, BasicQosOptions::default()).await.expect("a prefetch");
    let (queue, tag) = (jobs().name().into(), "stranger".into());
    let mut stranger = channel
        .basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default())
        .await
        .expect("consuming");
    for _ in 0..2 {
        let taken = in_time("a message", futures::StreamExt::next(&mut stranger)).await;
        taken.expect("the stream goes on").expect("a delivery");
    }
    ready(&client, &jobs(), 0).await;
    channel.close(200, "done".into()).await.expect("closed");

    let mut consumer = consuming(&client, jobs(), 1).await;
    for number in ["0", "1"] {
        let delivery = delivery(&mut consumer).await;
        assert_eq!((text(&delivery).as_str(), delivery.redelivered), (number, true));
        assert_eq!(delivery.ack().await, Settled::Done);
    }
    connection.close(200, "done".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_line_everything_goes_on_and_what_was_held_comes_again() {
    let fixture = OnRabbit::start().await;
    let other_end = with_topology(&fixture).await;
    let (broker, line) = fixture.connect_by_line("runner").await;
    let mut consumer = consuming(&broker, jobs(), 1).await;
    let mut listener = listening(&broker, runner("north", "linux")).await;
    publish_jobs(&other_end, 0..2).await;
    let held = delivery(&mut consumer).await;

    line.cut();
    link(&broker, "the link to go down", |link| !link.is_up()).await;
    interrupted(&mut consumer).await;
    interrupted(&mut listener).await;
    assert!(broker.publish(job(9)).await.is_err_and(|error| error.worth_retrying()));
    assert!(matches!(broker.depth(&jobs()).await, Err(ConsumeError::Unreachable { .. })));
    let question = broker.request(job(9), Duration::from_secs(1)).await;
    assert!(matches!(question, Err(RequestError::NotSent(_) | RequestError::Silence(_))), "{question:?}");

    line.mend();
    link(&broker, "a second connection", |link| is_up(link, 2)).await;
    resumed_again(&mut consumer).await;
    resumed_again(&mut listener).await;
    assert_eq!(held.ack().await, Settled::Void);
    let again = delivery(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("0", true));
    assert_eq!(again.ack().await, Settled::Done);
    assert_eq!(drain(&mut consumer, 1).await, ["1"]);
    broker.publish(job(2)).await.expect("published");
    assert_eq!(drain(&mut consumer, 1).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_falls_silent_is_noticed_and_given_up() {
    let fixture = OnRabbit::start().await;
    let other_end = with_topology(&fixture).await;
    let (broker, line) = fixture.connect_by_line("runner").await;
    let mut consumer = consuming(&broker, jobs(), 1).await;
    publish_jobs(&other_end, 0..1).await;
    let held = delivery(&mut consumer).await;

    line.silence();
    // Nothing says that it is gone: the answer takes a deadline, and the truth two heartbeats.
    let answer = in_time("an answer without a broker", broker.publish(job(9))).await;
    assert!(matches!(answer, Err(PublishError::Unknown { .. } | PublishError::Unreachable { .. })), "{answer:?}");
    link(&broker, "the link to go down", |link| !link.is_up()).await;
    interrupted(&mut consumer).await;
    ready(&other_end, &jobs(), 1).await;
    assert_eq!(held.ack().await, Settled::Void);

    line.mend();
    link(&broker, "a second connection", |link| is_up(link, 2)).await;
    resumed_again(&mut consumer).await;
    let again = delivery(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("0", true));
    assert_eq!(again.ack().await, Settled::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_whose_line_is_cut_is_never_reported_as_safe_without_being_it() {
    let fixture = OnRabbit::start().await;
    let other_end = with_topology(&fixture).await;
    let (broker, line) = fixture.connect_by_line("dispatcher").await;
    let publishing = broker.publish_all((0..2000).map(job).collect());
    let cutting = async {
        eventually("some have arrived", async || depth(&other_end, &jobs()).await.0 > 0).await;
        line.cut();
    };
    let (answers, ()) = in_time("answers for all", futures::future::join(publishing, cutting)).await;
    let confirmed: Vec<_> = (0..2000).zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(n, _)| n).collect();
    for answer in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(answer, PublishError::Unknown { .. } | PublishError::Unreachable { .. }), "{answer}");
    }
    // The broker may hold more than was confirmed, never less.
    let waiting = depth(&other_end, &jobs()).await.0;
    assert!(waiting >= confirmed.len() as u64, "{waiting} wait, {} were confirmed", confirmed.len());
    let mut consumer = consuming(&other_end, jobs(), 100).await;
    let arrived = drain(&mut consumer, usize::try_from(waiting).expect("small")).await;
    for number in confirmed {
        assert!(arrived.contains(&number.to_string()), "{number} was confirmed and is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_somebody_deletes_is_told_and_declared_again() {
    let fixture = OnRabbit::start().await;
    let client = with_topology(&fixture).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    let (connection, channel) = fixture.stranger().await;
    channel.queue_delete(jobs().name().into(), QueueDeleteOptions::default()).await.expect("deleted");
    interrupted(&mut consumer).await;
    assert!(matches!(client.publish(job(0)).await, Err(PublishError::Unroutable { .. })));
    assert!(matches!(client.depth(&jobs()).await, Err(ConsumeError::Missing { .. })));

    assert_eq!(client.ensure(&[Queue::Commits, jobs()]).await, Ok(vec![jobs()]));
    resumed_again(&mut consumer).await;
    publish_jobs(&client, 0..1).await;
    assert_eq!(drain(&mut consumer, 1).await, ["0"]);
    connection.close(200, "done".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_one_clear_line() {
    let fixture = OnRabbit::start().await;
    let (connection, channel) = fixture.stranger().await;
    channel
        .queue_declare(jobs().name().into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .expect("declared");
    let client = fixture.connect("dispatcher").await;
    let differs = client.ensure(&[jobs()]).await.expect_err("it is a classic queue");
    assert!(matches!(&differs, ConsumeError::Differs { what, .. } if what.contains(&jobs().name())), "{differs}");
    channel.queue_delete(jobs().name().into(), QueueDeleteOptions::default()).await.expect("deleted");
    assert_eq!(client.ensure(&[jobs()]).await, Ok(vec![jobs()]));
    connection.close(200, "done".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_keeps_what_it_confirmed_and_everybody_comes_back() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let fixture = OnRabbit::at(&node.url());
    let client = with_topology(&fixture).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    let mut listener = listening(&client, runner("north", "linux")).await;
    publish_jobs(&client, 0..100).await;
    let held = delivery(&mut consumer).await;
    // RabbitMQ writes down which quorum queues it has half a second later (3.10.8: names.dets of ra 2.2,
    // auto_save 500). A queue that is younger when the broker is killed has lost its log and never elects
    // a leader; this case is about all the others.
    node.eval("[dets:sync(Table) || Table <- dets:all()]").await.expect("synced");

    node.kill().await.expect("killed");
    link(&client, "the link to go down", |link| !link.is_up()).await;
    interrupted(&mut consumer).await;
    assert!(client.publish(job(100)).await.is_err_and(|error| error.worth_retrying()));
    assert_eq!(held.ack().await, Settled::Void);

    node.restart().await.expect("restarted");
    link(&client, "a second connection", |link| is_up(link, 2)).await;
    resumed_again(&mut consumer).await;
    resumed_again(&mut listener).await;
    let mut seen = drain(&mut consumer, 100).await;
    // The one in hand comes back when the broker has noticed that its holder is gone, so later than those
    // that waited behind it.
    let held_again = seen.iter().position(|text| text == "0").expect("the one in hand is lost");
    seen.remove(held_again);
    assert_eq!(seen, numbers(1..100));
    let topology = client.ensure(&[Queue::Commits, Queue::Results, Queue::Logs, Queue::Dead, jobs()]).await;
    assert_eq!(topology, Ok(Vec::new()), "something did not survive");
    publish_jobs(&client, 100..101).await;
    assert_eq!(drain(&mut consumer, 1).await, ["100"]);
}
