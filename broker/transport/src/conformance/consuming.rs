//! What a consumer is handed, how much at a time, and in which order.

use std::collections::BTreeMap;

use super::Fixture;
use super::verbs::*;
use crate::{ConsumeError, Event, Exchange, Outgoing, Queue, Settled};

pub(super) async fn messages_arrive_in_the_order_of_their_publication(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut consumer = consuming(&client, jobs(), 20).await;
    publish_jobs(&client, 0..100).await;
    for number in 100..120 {
        client.publish(job(number)).await.expect("published");
    }
    assert_eq!(drain(&mut consumer, 120).await, numbers(0..120));
}

pub(super) async fn an_envelope_arrives_as_it_was_sent(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut consumer = consuming(&client, Queue::Commits, 1).await;
    let mut sent = envelope("bytes").answer_to("thump.results", "job 7");
    sent.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    sent.body = (0..=255).collect();
    client.publish(Outgoing::new(Exchange::Commits, "thump.rs_2-x", sent.clone())).await.expect("published");
    let delivery = delivery(&mut consumer).await;
    assert_eq!(delivery.envelope.as_ref(), Ok(&sent));
    assert_eq!((&delivery.raw, delivery.key.as_str()), (&sent.body, "thump.rs_2-x"));
    assert!(!delivery.redelivered && delivery.death.is_none());
    assert_eq!(delivery.ack().await, Settled::Done);
}

pub(super) async fn no_more_than_the_prefetch_is_handed_out_and_an_ack_makes_room(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..10).await;
    let mut consumer = consuming(&client, jobs(), 3).await;
    let first = delivery(&mut consumer).await;
    let others = [delivery(&mut consumer).await, delivery(&mut consumer).await];
    ready(&client, &jobs(), 7).await;
    assert!(nothing_more(&mut consumer), "a fourth message was handed out");

    assert_eq!(first.ack().await, Settled::Done);
    let fourth = delivery(&mut consumer).await;
    assert_eq!(text(&fourth), "3");
    ready(&client, &jobs(), 6).await;
    assert!(nothing_more(&mut consumer), "an ack made room for more than one");
    assert_eq!(fourth.ack().await, Settled::Done);
    for delivery in others {
        assert_eq!(delivery.ack().await, Settled::Done);
    }
    assert_eq!(drain(&mut consumer, 6).await, numbers(4..10));
}

pub(super) async fn two_consumers_share_a_queue(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut north = consuming(&client, jobs(), 1).await;
    let mut south = consuming(&client, jobs(), 1).await;
    publish_jobs(&client, 0..4).await;
    // Neither can have both: each holds one and has no room for another.
    let (first, second) = (delivery(&mut north).await, delivery(&mut south).await);
    let mut seen = vec![text(&first), text(&second)];
    assert_eq!(first.ack().await, Settled::Done);
    seen.extend(drain(&mut north, 2).await);
    assert_eq!(second.ack().await, Settled::Done);
    seen.sort();
    assert_eq!(seen, numbers(0..4));
}

pub(super) async fn a_stopped_consumer_keeps_what_it_was_handed_and_nothing_else(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..5).await;
    let mut stopping = consuming(&client, jobs(), 3).await;
    let held = delivery(&mut stopping).await;
    ready(&client, &jobs(), 2).await;
    in_time("the stop", stopping.stop()).await;
    assert!(event(&mut stopping).await.is_none(), "a stopped consumer went on");

    ready(&client, &jobs(), 4).await;
    let mut other = consuming(&client, jobs(), 4).await;
    let mut seen = drain(&mut other, 4).await;
    seen.sort();
    assert_eq!(seen, numbers(1..5));
    assert_eq!(held.ack().await, Settled::Done, "the stop made a held delivery void");
    drop(stopping);
    publish_jobs(&client, 5..6).await;
    assert_eq!(drain(&mut other, 1).await, ["5"], "the acked one came back");
}

pub(super) async fn depth_tells_what_waits_and_who_consumes(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let missing = Queue::Jobs("windows".parse().expect("a pool name"));
    assert!(matches!(client.depth(&missing).await, Err(ConsumeError::Missing { queue }) if queue == missing.name()));

    assert_eq!(depth(&client, &jobs()).await, (0, 0));
    publish_jobs(&client, 0..3).await;
    ready(&client, &jobs(), 3).await;
    let mut one = consuming(&client, jobs(), 1).await;
    let two = consuming(&client, jobs(), 1).await;
    eventually("one waits, two consume", async || depth(&client, &jobs()).await == (1, 2)).await;
    let held = delivery(&mut one).await;
    drop(two);
    eventually("two wait, one consumes", async || depth(&client, &jobs()).await == (2, 1)).await;
    assert_eq!(held.ack().await, Settled::Done);
}

pub(super) async fn a_consumer_that_comes_before_its_queue_gets_it_once_it_stands(fixture: &impl Fixture) {
    let runner_end = fixture.connect("runner").await;
    let dispatcher_end = fixture.connect("dispatcher").await;
    let mut early = runner_end.consume(jobs(), 1);
    let mut listener = runner_end.listen(runner("north", "linux"));
    // It may say that it is interrupted as often as it likes, but not that it consumes.
    while let Some(Some(event)) = futures::FutureExt::now_or_never(early.next()) {
        assert!(matches!(event, Event::Interrupted { .. }), "{event:?}");
    }
    dispatcher_end.ensure(&[jobs(), Queue::Dead]).await.expect("topology");
    for consumer in [&mut early, &mut listener] {
        loop {
            match event(consumer).await.expect("the consumer goes on") {
                Event::Resumed => break,
                Event::Interrupted { .. } => {}
                Event::Delivery(delivery) => panic!("{delivery:?} before it consumes"),
            }
        }
    }
    publish_jobs(&dispatcher_end, 0..1).await;
    assert_eq!(drain(&mut early, 1).await, ["0"]);
}

pub(super) async fn ensure_tells_once_what_was_missing(fixture: &impl Fixture) {
    let client = fixture.connect("dispatcher").await;
    let all = [Queue::Commits, Queue::Results, Queue::Logs, Queue::Dead, jobs()];
    assert_eq!(client.ensure(&all).await, Ok(all.to_vec()));
    assert_eq!(client.ensure(&all).await, Ok(Vec::new()));
    let windows = Queue::Jobs("windows".parse().expect("a pool name"));
    assert_eq!(client.ensure(&[jobs(), windows.clone()]).await, Ok(vec![windows]));
}

pub(super) async fn many_publishers_and_consumers_lose_and_double_nothing(fixture: &impl Fixture) {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 250;
    let client = with_topology(fixture).await;
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(consuming(&client, jobs(), 10).await);
    }
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let broker = client.broker.clone();
            tokio::spawn(async move {
                for batch in 0..EACH / 50 {
                    let first = publisher * EACH + batch * 50;
                    publish_jobs(&broker, first..first + 50).await;
                }
            })
        })
        .collect();
    let (tell, mut told) = tokio::sync::mpsc::channel(PUBLISHERS * EACH);
    let workers: Vec<_> = consumers
        .into_iter()
        .map(|mut consumer| {
            let tell = tell.clone();
            tokio::spawn(async move {
                while let Some(Event::Delivery(delivery)) = consumer.next().await {
                    let text = text(&delivery);
                    assert_eq!(delivery.ack().await, Settled::Done);
                    tell.send(text).await.expect("the test listens");
                }
            })
        })
        .collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..PUBLISHERS * EACH {
        let text = in_time("every message", told.recv()).await.expect("workers live");
        *seen.entry(text).or_default() += 1;
    }
    for publisher in publishers {
        publisher.await.expect("published");
    }
    assert_eq!(seen.len(), PUBLISHERS * EACH);
    assert!(seen.values().all(|times| *times == 1));
    for worker in workers {
        worker.abort();
    }
}
