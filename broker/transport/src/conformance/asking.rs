//! Questions, answers and silence.

use std::time::Duration;

use super::Fixture;
use super::verbs::*;
use crate::{Exchange, Outgoing, PublishError, Queue, RequestError, Settled};

const PATIENT: Duration = Duration::from_secs(30);

fn claim(text: &str) -> Outgoing {
    Outgoing::new(Exchange::Results, "claim.north", envelope(text))
}

pub(super) async fn a_question_gets_its_own_answer(fixture: &impl Fixture) {
    let dispatcher = with_topology(fixture).await;
    let runner = fixture.connect("runner").await;
    let mut questions = consuming(&dispatcher, Queue::Results, 4).await;
    let asked = futures::future::join3(
        runner.request(claim("one"), PATIENT),
        runner.request(claim("two"), PATIENT),
        runner.request(claim("three"), PATIENT),
    );
    let answering = async {
        // In the wrong order on purpose: an answer must find its question, not the oldest one.
        let mut held = vec![delivery(&mut questions).await, delivery(&mut questions).await];
        held.push(delivery(&mut questions).await);
        while let Some(question) = held.pop() {
            let envelope_of = question.envelope.clone().expect("an envelope");
            let answer = envelope(&format!("answer to {}", text(&question)));
            dispatcher.reply(&envelope_of, answer).await.expect("answered");
            assert_eq!(question.ack().await, Settled::Done);
        }
    };
    let ((one, two, three), ()) = in_time("three answers", futures::future::join(asked, answering)).await;
    for (answer, to) in [(one, "one"), (two, "two"), (three, "three")] {
        let answer = answer.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer.body), format!("answer to {to}"));
        assert_eq!(answer.kind, "test");
    }
}

pub(super) async fn silence_is_an_error_after_the_patience_and_not_before(fixture: &impl Fixture) {
    let client = with_topology(fixture).await;
    let patience = Duration::from_millis(200);
    let since = std::time::Instant::now();
    let answer = in_time("the end of patience", client.request(claim("anyone?"), patience)).await;
    assert_eq!(answer, Err(RequestError::Silence(patience)));
    assert!(since.elapsed() >= patience);
    ready(&client, &Queue::Results, 1).await;
}

pub(super) async fn an_answer_to_nobody_is_no_error(fixture: &impl Fixture) {
    let dispatcher = with_topology(fixture).await;
    let asker = fixture.connect("runner").await;
    let mut questions = consuming(&dispatcher, Queue::Results, 4).await;
    let impatient = asker.request(claim("one"), Duration::from_millis(1)).await;
    assert!(matches!(impatient, Err(RequestError::Silence(_))), "{impatient:?}");
    let late = delivery(&mut questions).await;
    let question = late.envelope.clone().expect("an envelope");
    dispatcher.reply(&question, envelope("too late")).await.expect("no error");
    dispatcher.reply(&question, envelope("and again")).await.expect("no error");
    asker.kill();
    dispatcher.reply(&question, envelope("far too late")).await.expect("no error");
    dispatcher.reply(&envelope("asks nothing"), envelope("for nobody")).await.expect("no error");
    assert_eq!(late.ack().await, Settled::Done);

    // The dispatcher's channels are as good as before.
    let another = fixture.connect("runner").await;
    let answering = async {
        let question = delivery(&mut questions).await;
        let asked = question.envelope.clone().expect("an envelope");
        dispatcher.reply(&asked, envelope("yes")).await.expect("answered");
        assert_eq!(question.ack().await, Settled::Done);
    };
    let both = futures::future::join(another.request(claim("two"), PATIENT), answering);
    let (answer, ()) = in_time("an answer", both).await;
    assert_eq!(answer.expect("an answer").body, b"yes");
}

pub(super) async fn a_question_that_nobody_can_hear_is_not_sent(fixture: &impl Fixture) {
    let client = fixture.connect("runner").await;
    let answer = in_time("an error", client.request(claim("anyone?"), PATIENT)).await;
    assert!(matches!(answer, Err(RequestError::NotSent(PublishError::Unroutable { .. }))), "{answer:?}");
}
