//! A message that nobody can read is put aside once, and the next one is handled.

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::world::{Carrier, World};

/// Bodies that no decoder may choke on.
fn garbage() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"not json".to_vec(),
        b"{}".to_vec(),
        b"null".to_vec(),
        vec![b'['; 100_000],
        b"{\"job\": \"../../etc/passwd\"}".to_vec(),
        vec![0xff; 1000],
        vec![b'x'; 3 << 20],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_every_queue_is_put_aside_and_the_next_commit_is_tested() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let before = repository.push_job("true");
    assert_eq!(world.verdict(&before).await, "passed");

    let connection = Connection::connect(world.broker_url(), ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    let doors = [
        ("thump.commits", "app"),
        ("thump.jobs", "default"),
        ("thump.results", "claim.nobody"),
        ("thump.results", "beat.nobody"),
        ("thump.results", "result.nobody"),
        ("thump.logs", "nobody"),
    ];
    let kinds = [
        None,
        Some("commit_seen"),
        Some("job"),
        Some("claim"),
        Some("beat"),
        Some("finished"),
        Some("log_chunk"),
        Some("tick"),
    ];
    for (exchange, key) in doors {
        for (number, body) in garbage().into_iter().enumerate() {
            let mut properties = BasicProperties::default();
            if let Some(kind) = kinds[number % kinds.len()] {
                properties = properties.with_type(kind.into()).with_message_id("not-a-uuid".into());
            }
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await.expect("published");
        }
    }

    let after = repository.push_job("true # after");
    assert_eq!(world.verdict(&after).await, "passed");
    // Nobody holds or requeues the garbage: every queue runs empty.
    for queue in ["thump.commits", "thump.jobs.default", "thump.results", "thump.logs", "thump.dead"] {
        world
            .eventually(&format!("{queue} to be empty"), || async {
                let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let state =
                    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.expect("it exists");
                (state.message_count() == 0).then_some(())
            })
            .await;
    }
    for role in ["dispatcher", "observer", "runner"] {
        let said = world.process(role).output();
        assert!(!said.contains("panicked"), "{role} panicked:\n{said}");
    }
}
