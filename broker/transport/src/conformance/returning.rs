//! What is not settled comes back, however its holder ends.

use super::verbs::*;
use super::{Client, Fixture};
use crate::{Consumer, Delivery, Queue, Settled};

pub(super) async fn a_requeued_message_takes_its_place_again(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..3).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    let first = delivery(&mut consumer).await;
    assert!(!first.redelivered);
    assert_eq!(first.requeue().await, Settled::Done);
    let again = delivery(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("0", true));
    assert_eq!(again.ack().await, Settled::Done);
    let next = delivery(&mut consumer).await;
    assert_eq!((text(&next).as_str(), next.redelivered), ("1", false));
    assert_eq!(next.ack().await, Settled::Done);
    assert_eq!(drain(&mut consumer, 1).await, ["2"]);
}

pub(super) async fn a_delivery_that_is_dropped_comes_back(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..2).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    drop(delivery(&mut consumer).await);
    let again = delivery(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("0", true));
    assert_eq!(again.ack().await, Settled::Done);
    assert_eq!(drain(&mut consumer, 1).await, ["1"]);
}

pub(super) async fn a_consumer_that_is_dropped_gives_back_all_it_was_handed(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let (consumer, held) = holding(&client).await;
    drop(consumer);
    all_came_back(&client, &jobs()).await;
    assert_eq!(held.ack().await, Settled::Void);
}

pub(super) async fn a_client_that_closes_gives_back_all_it_was_handed(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let leaving = fixture.connect("runner").await;
    let (mut consumer, held) = holding_as(&client, &leaving).await;
    in_time("the close", leaving.close()).await;
    all_came_back(&client, &jobs()).await;
    assert_eq!(held.ack().await, Settled::Void);
    while let Some(event) = event(&mut consumer).await {
        drop(event);
    }
    assert!(leaving.publish(job(9)).await.is_err());
}

pub(super) async fn a_killed_client_gives_back_all_it_was_handed(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let victim = fixture.connect("runner").await;
    let (consumer, held) = holding_as(&client, &victim).await;
    victim.kill();
    all_came_back(&client, &jobs()).await;
    assert_eq!(held.ack().await, Settled::Void);
    drop(consumer);
}

pub(super) async fn an_ack_after_the_end_of_its_connection_is_void(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..1).await;
    let victim = fixture.connect("runner").await;
    let mut consumer = consuming(&victim, jobs(), 1).await;
    let held = delivery(&mut consumer).await;
    victim.kill();
    ready(&client, &jobs(), 1).await;
    assert_eq!(held.ack().await, Settled::Void);
    let mut other = consuming(&client, jobs(), 1).await;
    let again = delivery(&mut other).await;
    assert!(again.redelivered);
    assert_eq!(again.ack().await, Settled::Done);
}

/// Five jobs, of which one is in hand, two have been handed out and not looked at, and two wait.
async fn holding(client: &Client) -> (Consumer, Delivery) {
    holding_as(client, client).await
}

async fn holding_as(publisher: &Client, holder: &Client) -> (Consumer, Delivery) {
    publish_jobs(publisher, 0..5).await;
    let mut consumer = consuming(holder, jobs(), 3).await;
    let held = delivery(&mut consumer).await;
    ready(publisher, &jobs(), 2).await;
    (consumer, held)
}

async fn all_came_back(client: &Client, queue: &Queue) {
    eventually("all came back and nobody consumes", async || depth(client, queue).await == (5, 0)).await;
    let mut other = consuming(client, queue.clone(), 1).await;
    for number in 0..5 {
        let delivery = delivery(&mut other).await;
        assert_eq!((text(&delivery), delivery.redelivered), (number.to_string(), number < 3));
        assert_eq!(delivery.ack().await, Settled::Done);
    }
}
