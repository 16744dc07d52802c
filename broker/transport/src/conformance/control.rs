//! Who hears a control message, and how a sender learns that nobody does.

use super::Fixture;
use super::verbs::*;
use crate::{Broker, Consumer, Exchange, Outgoing, PublishError, Topic};

fn order(topic: &Topic) -> Outgoing {
    Outgoing::new(Exchange::Control, topic.key(), envelope(&topic.key()))
}

fn to_runner(name: &str) -> Topic {
    Topic::Runner(name.parse().expect("a runner name"))
}

async fn heard(listener: &mut Consumer) -> String {
    // Not settled: control messages need no ack.
    text(&delivery(listener).await)
}

pub(super) async fn a_control_message_reaches_all_a_pool_or_one(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut north = listening(&client, runner("north", "linux")).await;
    let mut south = listening(&client, runner("south", "windows")).await;
    let mut watcher = listening(&client, observer("watcher")).await;
    let topics = [
        to_runner("north"),
        Topic::Pool("windows".parse().expect("a pool name")),
        Topic::Observer("watcher".parse().expect("an observer name")),
        // The last one for everybody: whoever has it has had all that was for it before.
        Topic::All,
    ];
    for topic in &topics {
        client.publish(order(topic)).await.expect("published");
    }
    for (listener, first) in
        [(&mut north, "runner.north"), (&mut south, "pool.windows"), (&mut watcher, "observer.watcher")]
    {
        assert_eq!([heard(listener).await, heard(listener).await], [first, "all"]);
        assert!(nothing_more(listener), "somebody else's order was heard");
    }
}

pub(super) async fn whoever_stopped_listening_is_unroutable(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let mut north = listening(&client, runner("north", "linux")).await;
    let south = listening(&client, runner("south", "linux")).await;
    let mut east = listening(&client, runner("east", "linux")).await;
    drop(south);
    becomes_unroutable(&client, &to_runner("south")).await;
    east.stop().await;
    becomes_unroutable(&client, &to_runner("east")).await;
    client.publish(order(&to_runner("north"))).await.expect("north still listens");
    assert_eq!(heard(&mut north).await, "runner.north");
    let nobody = client.publish(order(&Topic::Pool("windows".parse().expect("a pool name")))).await;
    assert!(matches!(nobody, Err(PublishError::Unroutable { .. })), "{nobody:?}");
}

pub(super) async fn whoever_was_killed_is_unroutable(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let victim = fixture.connect("runner north").await;
    let mut listener = listening(&victim, runner("north", "linux")).await;
    client.publish(order(&to_runner("north"))).await.expect("published");
    assert_eq!(heard(&mut listener).await, "runner.north");
    victim.kill();
    becomes_unroutable(&client, &to_runner("north")).await;
}

async fn becomes_unroutable(client: &Broker, topic: &Topic) {
    let key = topic.key();
    eventually(&format!("{key} is unroutable"), async || match client.publish(order(topic)).await {
        Ok(()) => false,
        Err(PublishError::Unroutable { exchange, key: of }) => {
            assert_eq!((exchange.as_str(), &of), ("thump.control", &key));
            true
        }
        Err(other) => panic!("{other}"),
    })
    .await;
}
