//! P10: who has a runner's rights on the broker and not an attempt's token cannot end or spoil that attempt.

use broker::{Broker, Exchange, Outgoing, Role, Topic};
use jiff::Timestamp;
use messages::{AttemptNumber, AttemptToken, Envelope, Finished, HandBack, Incarnation, Outcome};
use uuid::Uuid;

use crate::world::{Carrier, World, lines_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_result_or_hand_back_without_the_token_changes_nothing() {
    let (world, repository) = World::running(Carrier::Rabbit).await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    let job = world.running_job(&commit).await["id"].as_str().expect("an id").to_owned();
    lines_in(&world.path("ran"), 1).await;

    let thief = Role { name: "thief".into(), declares_topology: false };
    let broker = Broker::rabbit(world.broker_url(), thief).expect("an address");
    broker.wait_until_up().await.expect("up");
    let runner: messages::RunnerName = "runner".parse().expect("a name");
    let (job, attempt) = (job.parse().expect("an id"), AttemptNumber::FIRST);
    let token = AttemptToken::from_random([7; 16]);
    let now = Timestamp::now();
    let finished = Finished {
        runner: runner.clone(),
        incarnation: Incarnation(Uuid::new_v4()),
        job,
        attempt,
        token: token.clone(),
        outcome: Outcome::Failed,
        steps: Vec::new(),
        started_at: now,
        finished_at: now,
        log_length: 0,
        log_sha256: String::new(),
        test_pieces: 0,
    };
    let back = HandBack { runner: runner.clone(), job, attempt, token };
    let letters = vec![
        Envelope::of(&finished, finished.message_id()).expect("small"),
        Envelope::of(&back, back.message_id()).expect("small"),
    ];
    let key = Topic::Result(runner).key();
    let letters = letters.into_iter().map(|letter| Outgoing::new(Exchange::Results, key.clone(), letter)).collect();
    for sent in broker.publish_all(letters).await {
        sent.expect("it arrives");
    }

    // A commit that is tested behind the forgeries shows that they have been read.
    let behind = repository.push_job("true");
    assert_eq!(world.verdict(&behind).await, "passed");
    assert_eq!(world.running_job(&commit).await["attempt"], 1);
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "passed");
    assert_eq!(world.lines("ran"), ["1"]);
}
