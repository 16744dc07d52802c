//! What the answer to a publish means.

use messages::MAX_BODY_BYTES;

use super::Fixture;
use super::verbs::*;
use crate::{Exchange, Outgoing, PublishError, Queue, Settled};

pub(super) async fn a_confirmed_message_lies_in_its_queue(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    client.publish(job(1)).await.expect("published");
    ready(&client, &jobs(), 1).await;
    let result = Outgoing::new(Exchange::Results, "result.north", envelope("r"));
    client.publish(result).await.expect("published");
    let mut consumer = consuming(&client, Queue::Results, 1).await;
    let delivery = delivery(&mut consumer).await;
    assert_eq!(delivery.key, "result.north");
    assert_eq!(delivery.ack().await, Settled::Done);
    ready(&client, &jobs(), 1).await;
}

pub(super) async fn without_topology_everything_is_unroutable(fixture: &impl Fixture) {
    let client = fixture.connect("runner").await;
    for exchange in Exchange::ALL {
        let answer = client.publish(Outgoing::new(exchange, "x", envelope("early"))).await;
        let name = exchange.name().to_owned();
        assert_eq!(answer, Err(PublishError::Unroutable { exchange: name, key: "x".to_owned() }));
    }
    client.ensure(&[jobs(), Queue::Dead]).await.expect("topology");
    publish_jobs(&client, 0..1).await;
}

pub(super) async fn each_unroutable_message_among_many_is_told_from_the_others(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let many = (0..400).map(|number| {
        let mut outgoing = job(number);
        if number % 4 == 3 {
            outgoing.key = format!("nobody-{number}");
        }
        outgoing
    });
    let answers = client.publish_all(many.collect()).await;
    assert_eq!(answers.len(), 400);
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(()) => assert_ne!(number % 4, 3, "{number} lies in no queue"),
            Err(PublishError::Unroutable { exchange, key }) => {
                assert_eq!((exchange.as_str(), key), ("thump.jobs", format!("nobody-{number}")));
            }
            Err(other) => panic!("{number}: {other}"),
        }
    }
    let mut consumer = consuming(&client, jobs(), 50).await;
    let kept = numbers(0..400).into_iter().enumerate().filter(|(number, _)| number % 4 != 3).map(|(_, text)| text);
    assert_eq!(drain(&mut consumer, 300).await, kept.collect::<Vec<_>>());
}

pub(super) async fn a_full_work_queue_refuses_and_keeps_what_it_has(fixture: &impl Fixture) {
    fills_up(fixture, &jobs(), job).await;
}

pub(super) async fn a_full_log_queue_refuses_and_keeps_what_it_has(fixture: &impl Fixture) {
    let chunk = |number: usize| Outgoing::new(Exchange::Logs, "north", envelope(&number.to_string()));
    fills_up(fixture, &Queue::Logs, chunk).await;
}

async fn fills_up(fixture: &impl Fixture, queue: &Queue, message: impl Fn(usize) -> Outgoing) {
    const BATCH: usize = 500;
    let client = with_topology(fixture).await;
    let limit = queue.spec().max_length as usize;
    let (mut kept, mut refused) = (Vec::new(), 0);
    for first in (0..2 * limit).step_by(BATCH) {
        let answers = client.publish_all((first..first + BATCH).map(&message).collect()).await;
        for (offset, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(()) => kept.push((first + offset).to_string()),
                Err(PublishError::QueueFull { exchange, .. }) => {
                    assert_eq!(exchange, message(0).exchange.name());
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        if refused > 0 {
            break;
        }
    }
    // A broker may take some more than its limit while it tells the publisher, but none may vanish.
    assert!(refused > 0 && kept.len() >= limit, "{} kept, {refused} refused, limit {limit}", kept.len());
    ready(&client, queue, kept.len() as u64).await;

    let mut consumer = consuming(&client, queue.clone(), 200).await;
    // RabbitMQ takes publishes to a quorum queue again when it is four fifths full, not one below its limit.
    let taken = kept.len() - limit * 3 / 4;
    assert_eq!(drain(&mut consumer, taken).await, kept[..taken]);
    eventually("room again", async || client.publish(message(0)).await.is_ok()).await;
}

pub(super) async fn one_mebibyte_travels_and_one_byte_more_does_not(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    let mut large = job(0);
    large.envelope.body = (0..MAX_BODY_BYTES).map(|byte| (byte % 251) as u8).collect();
    let mut too_large = large.clone();
    too_large.envelope.body.push(0);

    let answers = client.publish_all(vec![job(1), too_large, large.clone()]).await;
    assert_eq!((&answers[0], &answers[2]), (&Ok(()), &Ok(())));
    let refused = answers[1].as_ref().expect_err("too large");
    assert!(matches!(refused, PublishError::Refused { .. }) && !refused.worth_retrying(), "{refused}");

    assert_eq!(drain(&mut consumer, 1).await, ["1"]);
    let arrived = delivery(&mut consumer).await;
    assert!(arrived.envelope.as_ref() == Ok(&large.envelope), "a large body changed on its way");
    assert_eq!(arrived.ack().await, Settled::Done);
}

pub(super) async fn what_does_not_fit_the_wire_is_refused_alone(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut key = job(1);
    key.key = "k".repeat(256);
    let mut kind = job(2);
    kind.envelope.kind = "k".repeat(256);
    let mut address = job(3);
    address.envelope = address.envelope.answer_to("a".repeat(256), "c");
    let mut correlation = job(4);
    correlation.envelope = correlation.envelope.answer_to("a", "c".repeat(256));

    let answers = client.publish_all(vec![job(0), key, kind, address, correlation, job(5)]).await;
    assert_eq!((&answers[0], &answers[5]), (&Ok(()), &Ok(())));
    for answer in &answers[1..5] {
        assert!(matches!(answer, Err(PublishError::Refused { .. })), "{answer:?}");
    }
    let mut consumer = consuming(&client, jobs(), 1).await;
    assert_eq!(drain(&mut consumer, 2).await, ["0", "5"]);
}
