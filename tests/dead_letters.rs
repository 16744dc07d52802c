//! Dead letters: what nobody could read is shown from the ledger, discarded, or replayed once it can be read.

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use messages::{CommitSeen, Message};
use serde_json::Value;

use crate::world::{Carrier, Repository, World};

/// A stranger's way to the broker. Waits for a verdict first: before the queues stand, what a stranger
/// publishes goes nowhere.
async fn channel(world: &World, repository: &Repository) -> Channel {
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
    let connection = Connection::connect(world.broker_url(), ConnectionProperties::default()).await.expect("connected");
    connection.create_channel().await.expect("a channel")
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.expect("published");
}

/// The dead letters that are listed, once there are so many.
async fn letters(world: &World, count: usize) -> Vec<Value> {
    world
        .eventually(&format!("{count} dead letters"), || async {
            let letters = world.api("/api/v1/dead").await?["letters"].as_array()?.clone();
            (letters.len() == count).then_some(letters)
        })
        .await
}

fn id_of(entry: &Value) -> String {
    entry["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_message_is_shown_with_reason_and_body_and_can_be_discarded() {
    let (world, repository) = World::running(Carrier::Rabbit).await;
    let channel = channel(&world, &repository).await;
    let hostile = "<script>alert(1)</script>\u{1b}[2J\u{202e}";
    publish(&channel, "thump.jobs", "default", hostile.as_bytes(), BasicProperties::default()).await;
    let listed = letters(&world, 1).await;
    let letter = &listed[0];
    assert_eq!((&letter["queue"], &letter["key"]), (&"thump.jobs.default".into(), &"default".into()), "{letter}");
    assert!(letter["reason"].as_str().expect("a reason").contains("the message has no"), "{letter}");

    let id = id_of(letter);
    let (code, out, err) = world.thump(&["dead", "show", &id]).await;
    assert!(
        code == 0 && out.contains("<script>") && !out.contains('\u{1b}') && !out.contains('\u{202e}'),
        "{out}{err}"
    );
    let (status, page) = world.get(&format!("/dead/{id}")).await;
    assert!(status == 200 && page.contains("alert(1)") && !page.contains("<script>alert"), "{page}");
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'), "{page}");
    assert!(world.get("/dead").await.1.contains(&format!("/dead/{id}")));
    // Looking consumes nothing, and bytes that are no text are shown as hex.
    assert_eq!(letters(&world, 1).await.len(), 1);
    publish(&channel, "thump.jobs", "default", b"\xff\xfe\x00", BasicProperties::default()).await;
    let newest = id_of(&letters(&world, 2).await[0]);
    let entry = world.api(&format!("/api/v1/dead/{newest}")).await.expect("the entry");
    assert_eq!(entry["body"]["hex"], "fffe00");

    let (code, _, err) = world.thump(&["dead", "replay", &id]).await;
    assert!(code == 1 && err.contains("discard it"), "{err}");
    let (code, out, err) = world.thump(&["dead", "discard", &id, &newest]).await;
    assert!(code == 0 && out.matches("discarded").count() == 2, "{out}{err}");
    letters(&world, 0).await;
    let entry = world.api(&format!("/api/v1/dead/{id}")).await.expect("in history");
    assert_eq!((&entry["standing"], &entry["orders"][0]["action"]), (&"discarded".into(), &"discard_letter".into()));
    let commit = repository.push_job("true # after");
    assert_eq!(world.verdict(&commit).await, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_an_upgrade_can_read_is_replayed_and_becomes_a_build() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let channel = channel(&world, &repository).await;
    // What an older Thump would have put aside: a good announcement that it could not read.
    let bare = world.repository("later");
    let later = bare.push_job("true # later");
    let text = bare.git(&["show", &format!("{later}:.thump.toml")]);
    let seen = seen(&bare.path().display().to_string(), &later, &text);
    let headers = [
        ("thump-version", AMQPValue::LongInt(1)),
        ("thump-death-queue", AMQPValue::LongString("thump.commits".into())),
        ("thump-death-reason", AMQPValue::LongString("the message is of version 1, this is 0".into())),
        ("thump-death-exchange", AMQPValue::LongString("thump.commits".into())),
        ("thump-death-key", AMQPValue::LongString("later".into())),
    ];
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.into(), value);
    }
    let properties = BasicProperties::default()
        .with_headers(table)
        .with_delivery_mode(2)
        .with_type(CommitSeen::KIND.into())
        .with_message_id(seen.message_id().to_string().into());
    let body = serde_json::to_vec(&seen).expect("JSON");
    publish(&channel, "thump.dead", "commits", &body, properties).await;
    let id = id_of(&letters(&world, 1).await[0]);
    assert!(world.builds(&later).await.is_empty(), "nothing is replayed unasked");

    let (code, out, err) = world.thump(&["dead", "replay", &id]).await;
    assert!(code == 0 && out.contains("replaying"), "{out}{err}");
    assert_eq!(world.verdict(&later).await, "passed");
    let entry = world
        .eventually("the mark", || async {
            let entry = world.api(&format!("/api/v1/dead/{id}")).await?;
            (entry["standing"] == "replayed").then_some(entry)
        })
        .await;
    assert_eq!(entry["orders"][0]["action"], "replay_letter");
    letters(&world, 0).await;
    let (code, _, err) = world.thump(&["dead", "replay", &id]).await;
    assert!(code == 1 && err.contains("replayed already"), "{err}");
    assert_eq!(world.builds(&later).await.len(), 1, "one build, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_into_a_queue_that_is_missing_waits_and_says_so() {
    let (world, repository) = World::running(Carrier::Rabbit).await;
    let channel = channel(&world, &repository).await;
    let mut table = FieldTable::default();
    table.insert("thump-version".into(), AMQPValue::LongInt(1));
    for (name, value) in
        [("queue", "thump.jobs.gone"), ("reason", "rejected"), ("exchange", "thump.jobs"), ("key", "gone")]
    {
        table.insert(format!("thump-death-{name}").into(), AMQPValue::LongString(value.into()));
    }
    let properties = BasicProperties::default()
        .with_headers(table)
        .with_type("job".into())
        .with_message_id("01900000-0000-7000-8000-000000000000".into());
    publish(&channel, "thump.dead", "jobs", b"{}", properties).await;
    let id = id_of(&letters(&world, 1).await[0]);
    assert_eq!(world.thump(&["dead", "replay", &id]).await.0, 0);
    world
        .eventually("the reason why it waits", || async {
            let letter = world.api("/api/v1/dead").await?["letters"][0].clone();
            (letter["standing"] == "replaying" && letter["note"].to_string().contains("no queue is bound"))
                .then_some(())
        })
        .await;
    // Somebody makes the queue: the next try finds it.
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("gone".into(), durable, FieldTable::default()).await.expect("made");
    channel
        .queue_bind("gone".into(), "thump.jobs".into(), "gone".into(), Default::default(), FieldTable::default())
        .await
        .expect("bound");
    letters(&world, 0).await;
    let got = channel.basic_get("gone".into(), Default::default()).await.expect("asked").expect("a message");
    assert_eq!(got.data, b"{}");
}

fn seen(url: &str, commit: &str, text: &str) -> CommitSeen {
    let value = serde_json::json!({
        "observer": "an-older-one",
        "incarnation": "01900000-0000-4000-8000-000000000000",
        "repository": {"name": "later", "url": url},
        "ref": "refs/heads/main",
        "commit": commit,
        "tree": commit,
        "parents": [],
        "author": {"name": "Ada", "email": "ada@example.org"},
        "subject": "later",
        "committed_at": "2026-01-01T00:00:00Z",
        "changed_paths": {"paths": [], "truncated": false},
        "pipeline": {"kind": "file", "text": text},
        "arrival": "pushed",
        "skipped_before": 0
    });
    serde_json::from_value(value).expect("a commit as it is announced")
}
