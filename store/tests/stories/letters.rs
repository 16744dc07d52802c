//! Messages that were put aside are kept within limits, shown without being consumed, and replayed once.

use store::parking::{LetterHead, LetterStanding, NoLetter, Replayed};
use store::{DeadLetterView, NewDeadLetter};

use super::fixture::World;

fn letter(body: &[u8], id: Option<&str>) -> NewDeadLetter {
    let head = id.map(|id| LetterHead {
        version: 1,
        kind: "commit_seen".into(),
        id: id.into(),
        traceparent: None,
        reply_to: None,
        correlation_id: None,
    });
    NewDeadLetter {
        queue: "thump.commits".into(),
        reason: "the body is no commit_seen".into(),
        exchange: head.as_ref().map(|_| "thump.commits".into()),
        key: "sample".into(),
        head,
        body: body.to_vec(),
        deaths: 1,
        redelivered: false,
    }
}

impl World {
    async fn keep(&self, letter: NewDeadLetter) {
        self.ledger.record_dead_letter(self.epoch, letter).await.expect("written");
    }

    async fn letters(&self) -> Vec<DeadLetterView> {
        self.ledger.dead_letters(None, 200).await.expect("read")
    }

    async fn letter(&self, number: i64) -> DeadLetterView {
        self.ledger.dead_letter(number).await.expect("read").expect("kept")
    }
}

#[tokio::test]
async fn a_message_that_can_be_sent_again_is_kept_whole_and_another_one_is_cut() {
    let world = World::start().await;
    world.keep(letter(&[1; 100_000], Some("a"))).await;
    world.keep(letter(&[2; 100_000], None)).await;
    let numbers: Vec<i64> = world.letters().await.iter().map(|view| view.number).collect();
    assert_eq!(numbers, [2, 1], "newest first");
    let (whole, cut) = (world.letter(1).await, world.letter(2).await);
    assert_eq!((whole.letter.body.len(), whole.bytes), (100_000, 100_000));
    assert_eq!((cut.letter.body.len(), cut.bytes), (65_536, 100_000));
    assert_eq!(world.ledger.replay_letter(2, "ada").await.expect("works"), Err(NoLetter::Nameless));
    assert_eq!(world.ledger.replay_letter(7, "ada").await.expect("works"), Err(NoLetter::Unknown));
}

#[tokio::test]
async fn the_same_message_in_a_loop_is_one_letter_with_a_count() {
    let world = World::start().await;
    for _ in 0..5 {
        world.keep(letter(b"poison", Some("a"))).await;
    }
    // The same letter again, because its ack was lost: no further death.
    world.keep(NewDeadLetter { redelivered: true, ..letter(b"poison", Some("a")) }).await;
    let letters = world.letters().await;
    assert_eq!(letters.iter().map(|view| view.letter.deaths).collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn a_letter_is_replayed_once_and_a_message_that_dies_again_is_a_new_one() {
    let world = World::start().await;
    world.keep(letter(b"later", Some("a"))).await;
    assert_eq!(world.ledger.replay_letter(1, "ada").await.expect("works"), Ok(()));
    assert_eq!(world.ledger.replay_letter(1, "bob").await.expect("works"), Err(NoLetter::Replaying));
    let due = world.ledger.letters_to_replay(9).await.expect("read");
    assert_eq!(due.iter().map(|view| view.letter.body.as_slice()).collect::<Vec<_>>(), [b"later"]);
    let settle = async |outcome| world.ledger.letter_replayed(world.epoch, 1, outcome).await.expect("written");
    settle(Replayed::Waits("no queue".into())).await;
    assert_eq!(world.letter(1).await.note.as_deref(), Some("no queue"));
    // It dies again before the confirm is marked: that must not vanish with the mark.
    world.keep(letter(b"later", Some("a"))).await;
    settle(Replayed::Done).await;
    assert_eq!(world.letter(1).await.standing, LetterStanding::Replayed);
    let left: Vec<_> = world.letters().await.iter().map(|view| (view.number, view.letter.deaths)).collect();
    assert_eq!(left, [(2, 2)]);
    assert_eq!(world.ledger.replay_letter(1, "ada").await.expect("works"), Err(NoLetter::Replayed));
    let orders = world.ledger.orders_about("1").await.expect("read");
    assert_eq!(orders.iter().map(|order| order.who.as_str()).collect::<Vec<_>>(), ["ada"]);
}

#[tokio::test]
async fn a_refused_replay_is_parked_again_and_a_discarded_letter_stays_so() {
    let world = World::start().await;
    world.keep(letter(b"one", Some("a"))).await;
    let settle = async |outcome| world.ledger.letter_replayed(world.epoch, 1, outcome).await.expect("written");
    world.ledger.replay_letter(1, "ada").await.expect("works").expect("ordered");
    settle(Replayed::Refused("too long".into())).await;
    let view = world.letter(1).await;
    assert_eq!((view.standing, view.note.as_deref()), (LetterStanding::Parked, Some("too long")));
    world.ledger.replay_letter(1, "ada").await.expect("works").expect("ordered");
    world.ledger.discard_letter(1, "ada").await.expect("works").expect("discarded");
    settle(Replayed::Done).await;
    assert_eq!(world.letter(1).await.standing, LetterStanding::Discarded);
    assert_eq!(world.ledger.discard_letter(1, "ada").await.expect("works"), Err(NoLetter::Discarded));
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn the_table_is_bounded_in_bytes_and_what_went_unseen_is_counted() {
    let world = World::start().await;
    // 256 MiB are the limit.
    for number in 0..258_u32 {
        let mut body = vec![0; 1 << 20];
        body[..4].copy_from_slice(&number.to_be_bytes());
        world.keep(letter(&body, Some(&number.to_string()))).await;
        if number == 200 {
            world.ledger.discard_letter(100, "ada").await.expect("works").expect("discarded");
        }
    }
    assert!(world.ledger.dead_letter(100).await.expect("read").is_none(), "what is done with goes first");
    assert!(world.ledger.dead_letter(1).await.expect("read").is_none(), "then the oldest");
    assert!(world.ledger.dead_letter(2).await.expect("read").is_some());
    assert_eq!(world.ledger.dead_letters_dropped().await.expect("read"), 1);
    assert_eq!(world.letters().await[0].number, 258);
}
