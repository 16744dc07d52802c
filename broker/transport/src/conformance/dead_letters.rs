//! What cannot be handled is put aside once, with its reason, and stops nobody.

use messages::{MAX_BODY_BYTES, Malformed, Probe, VERSION};

use super::verbs::*;
use super::{Fixture, Forgery};
use crate::{DELIVERY_LIMIT, Exchange, Outgoing, PublishError, Queue, SettleError, Settled};

pub(super) async fn a_message_put_aside_arrives_once_and_the_next_one_is_handled(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..2).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    let poison = delivery(&mut consumer).await;
    assert_eq!(poison.dead_letter("nobody understands it").await, Ok(Settled::Done));
    assert_eq!(drain(&mut consumer, 1).await, ["1"]);
    ready(&client, &jobs(), 0).await;

    let (letter, death) = only_dead_letter(&client).await;
    assert_eq!((letter.key.as_str(), letter.raw.as_slice()), ("jobs", b"0".as_slice()));
    assert_eq!((death.queue, death.reason.as_str()), (jobs().name(), "nobody understands it"));
    assert_eq!((death.exchange.as_deref(), death.key.as_deref()), (Some("thump.jobs"), Some(pool().as_str())));
}

pub(super) async fn a_message_that_always_comes_back_is_put_aside_by_the_broker(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    publish_jobs(&client, 0..2).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    // Delivered once and then once per return that the limit allows.
    for time in 0..=DELIVERY_LIMIT {
        let delivery = delivery(&mut consumer).await;
        assert_eq!((text(&delivery).as_str(), delivery.redelivered), ("0", time > 0), "delivery {time}");
        assert_eq!(delivery.requeue().await, Settled::Done);
    }
    assert_eq!(drain(&mut consumer, 1).await, ["1"], "the poison stands in the way");

    let (letter, death) = only_dead_letter(&client).await;
    assert_eq!((letter.key.as_str(), letter.raw.as_slice()), ("jobs", b"0".as_slice()));
    assert_eq!((death.queue, death.reason.as_str()), (jobs().name(), "delivery_limit"));
    assert_eq!((death.exchange.as_deref(), death.key.as_deref()), (Some("thump.jobs"), Some(pool().as_str())));
}

pub(super) async fn a_message_that_says_nothing_about_itself_is_put_aside_whole(fixture: &impl Fixture) {
    let raw = b"\xff\xfe not a message \0".to_vec();
    put_aside_whole(fixture, Forgery::Nameless(raw.clone()), &raw).await;
}

pub(super) async fn a_message_beyond_the_limit_is_put_aside_whole(fixture: &impl Fixture) {
    let raw: Vec<u8> = (0..=MAX_BODY_BYTES).map(|byte| (byte % 251) as u8).collect();
    put_aside_whole(fixture, Forgery::TooLarge(raw.clone()), &raw).await;
}

async fn put_aside_whole(fixture: &impl Fixture, forgery: Forgery, raw: &[u8]) {
    let client = with_topology(fixture).await;
    let mut consumer = consuming(&client, Queue::Results, 1).await;
    fixture.forge(Exchange::Results, "claim.mallory", forgery).await;
    client.publish(Outgoing::new(Exchange::Results, "tick", envelope("good"))).await.expect("published");

    let forged = delivery(&mut consumer).await;
    let wrong = forged.envelope.clone().expect_err("it is malformed");
    assert!(forged.raw == raw && forged.key == "claim.mallory", "the forgery changed on its way");
    assert_eq!(forged.dead_letter(&wrong.to_string()).await, Ok(Settled::Done));
    assert_eq!(drain(&mut consumer, 1).await, ["good"]);

    let (letter, death) = only_dead_letter(&client).await;
    assert!(letter.key == "results" && letter.raw == raw, "the forgery changed when it was put aside");
    assert_eq!((death.queue.as_str(), death.reason), ("thump.results", wrong.to_string()));
    assert_eq!((death.exchange.as_deref(), death.key.as_deref()), (Some("thump.results"), Some("claim.mallory")));
}

pub(super) async fn garbage_in_a_good_envelope_is_found_when_it_is_opened(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut consumer = consuming(&client, Queue::Results, 4).await;
    let mut garbage = envelope("{]");
    garbage.kind = "probe".to_owned();
    let mut newer = garbage.clone();
    newer.version = VERSION + 1;
    for envelope in [garbage, newer] {
        client.publish(Outgoing::new(Exchange::Results, "tick", envelope)).await.expect("published");
    }
    let opened = async |consumer: &mut crate::Consumer| {
        let delivery = delivery(consumer).await;
        let opened = delivery.envelope.clone().and_then(|envelope| envelope.open::<Probe>());
        assert_eq!(delivery.ack().await, Settled::Done);
        opened
    };
    assert!(matches!(opened(&mut consumer).await, Err(Malformed::Body { .. })));
    assert_eq!(opened(&mut consumer).await, Err(Malformed::Version { theirs: VERSION + 1 }));
}

pub(super) async fn a_log_chunk_can_be_put_aside_as_well(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut consumer = consuming(&client, Queue::Logs, 1).await;
    client.publish(Outgoing::new(Exchange::Logs, "north", envelope("?"))).await.expect("published");
    let chunk = delivery(&mut consumer).await;
    assert_eq!(chunk.dead_letter("no offset").await, Ok(Settled::Done));
    let (letter, death) = only_dead_letter(&client).await;
    assert_eq!((letter.key.as_str(), death.queue.as_str(), death.reason.as_str()), ("logs", "thump.logs", "no offset"));
}

pub(super) async fn a_message_that_cannot_be_put_aside_stays_in_its_queue(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let letter = |number: usize| Outgoing::new(Exchange::Dead, "jobs", envelope(&number.to_string()));
    let room = Queue::Dead.spec().max_length as usize;
    for answer in client.publish_all((0..room).map(letter).collect()).await {
        answer.expect("room for all of them");
    }
    eventually("no room any more", async || client.publish(letter(0)).await.is_err()).await;

    publish_jobs(&client, 0..1).await;
    let mut consumer = consuming(&client, jobs(), 1).await;
    let poison = delivery(&mut consumer).await;
    let refused = poison.dead_letter("nobody understands it").await;
    assert!(matches!(refused, Err(SettleError::DeadLetter(PublishError::QueueFull { .. }))), "{refused:?}");
    let again = delivery(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("0", true));
    assert_eq!(again.ack().await, Settled::Done);
}
