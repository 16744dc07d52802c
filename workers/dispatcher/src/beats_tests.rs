//! What a beat does to the board, and what it is answered.

use messages::{
    AttemptNumber, AttemptToken, FinishedAttempt, HeldJob, Incarnation, JobId, MessageId, PoolName, RunningAttempt,
};

use super::*;
use crate::Settings;
use crate::leases::Terms;
use crate::logbook::End;

fn judge(board: &mut Board, beat: &Beat) -> Judgement {
    super::judge(board, beat, Instant::now())
}

fn life(name: &str) -> Incarnation {
    Incarnation(MessageId::of(&[name]).0)
}

/// `first` and `second` are lives of one folder.
fn birth(of: &str) -> messages::Birth {
    let number = match of {
        "first" => 1,
        "second" => 2,
        _ => panic!("no such life"),
    };
    messages::Birth { folder: MessageId::of(&["folder"]).0, number }
}

fn job() -> JobId {
    JobId(MessageId::of(&["job"]).0)
}

fn token() -> AttemptToken {
    AttemptToken::from_random([1; 16])
}

const ATTEMPT: AttemptNumber = AttemptNumber::FIRST;

fn beat(of: &str, sequence: u64) -> Beat {
    Beat {
        runner: "north".parse().expect("a name"),
        incarnation: life(of),
        birth: birth(of),
        sequence,
        pool: PoolName::default(),
        slots: 1,
        draining: false,
        trouble: None,
        version: "test".into(),
        held: Vec::new(),
        running: Vec::new(),
        finished: Vec::new(),
    }
}

fn running(of: &str, sequence: u64) -> Beat {
    let listed = RunningAttempt { job: job(), attempt: ATTEMPT, token: token(), log_sent: 10 };
    Beat { running: vec![listed], ..beat(of, sequence) }
}

fn finished(of: &str, sequence: u64) -> Beat {
    let listed = FinishedAttempt { job: job(), attempt: ATTEMPT, token: token(), log_sent: 10 };
    Beat { finished: vec![listed], ..beat(of, sequence) }
}

/// A board on which runner `north`, in its first life, has the job.
fn board() -> Board {
    let mut board = Board::new(&Settings::default());
    judge(&mut board, &beat("first", 1));
    let runner = "north".parse().expect("a name");
    board.leases.grant(
        Proof { runner: &runner, job: job(), attempt: ATTEMPT, token: &token() },
        life("first"),
        Terms { is_known: true, exclusive: false },
    );
    board
}

fn record(board: &mut Board) {
    board.leases.end(job(), ATTEMPT);
    board.settled.note((job(), ATTEMPT), Order::Recorded);
    let runner = "north".parse().expect("a name");
    board
        .logbook
        .ended((job(), ATTEMPT), End { runner, token: token(), length: 10, sha256: String::new(), test_pieces: 0 });
}

fn orders(judgement: &Judgement) -> Vec<(Order, Option<u64>)> {
    judgement.answer.orders.iter().map(|order| (order.order, order.log_from)).collect()
}

#[test]
fn an_attempt_that_was_claimed_after_the_beat_was_written_is_not_lost_by_it() {
    let mut board = board();
    for sequence in 2..6 {
        assert!(judge(&mut board, &beat("first", sequence)).lost.is_empty());
    }
    assert!(board.leases.has(job()));
}

#[test]
fn what_a_new_life_does_not_list_is_lost_and_what_it_lists_is_kept() {
    assert_eq!(judge(&mut board(), &beat("second", 1)).lost, [((job(), ATTEMPT), LossCause::RunnerLost)]);
    assert!(judge(&mut board(), &finished("second", 1)).lost.is_empty());
}

#[test]
fn a_late_beat_of_a_former_life_changes_nothing() {
    let mut board = board();
    judge(&mut board, &running("second", 1));
    let late = judge(&mut board, &beat("first", 9));
    assert_eq!(late.heard, Heard::Former);
    assert!(late.lost.is_empty() && board.leases.has(job()));
}

#[test]
fn a_beat_that_is_delivered_twice_is_read_once() {
    let mut board = board();
    judge(&mut board, &running("first", 2));
    assert_eq!(judge(&mut board, &running("first", 2)).heard, Heard::Late);
}

#[test]
fn a_cancelled_attempt_hears_it_in_every_answer() {
    let mut board = board();
    let wanted = store::Running {
        job: job(),
        attempt: ATTEMPT,
        token: token(),
        runner: "north".parse().expect("a name"),
        incarnation: life("first"),
        pool: PoolName::default(),
        cancelling: true,
        exclusive: false,
    };
    assert_eq!(board.leases.mark_cancelling(std::slice::from_ref(&wanted)).0.len(), 1);
    assert!(board.leases.mark_cancelling(&[wanted]).0.is_empty(), "the edge comes once");
    for sequence in 2..4 {
        assert_eq!(orders(&judge(&mut board, &running("first", sequence)))[0].0, Order::Cancel);
    }
}

#[test]
fn an_attempt_of_somebody_else_is_void() {
    let mut board = board();
    let forged =
        RunningAttempt { job: job(), attempt: ATTEMPT, token: AttemptToken::from_random([2; 16]), log_sent: 0 };
    let judgement = judge(&mut board, &Beat { running: vec![forged], ..beat("first", 2) });
    assert_eq!(orders(&judgement), [(Order::Void, None)]);
    assert!(board.leases.has(job()));
}

#[test]
fn a_result_that_has_not_arrived_is_asked_for_again() {
    assert_eq!(orders(&judge(&mut board(), &finished("first", 2))), [(Order::Continue, None)]);
    // Nor is one that only the ledger may know of: it says so when it comes again.
    let mut restarted = Board::new(&Settings::default());
    assert_eq!(orders(&judge(&mut restarted, &finished("first", 2))), [(Order::Continue, None)]);
}

#[test]
fn a_recorded_attempt_is_kept_by_the_runner_until_its_log_is_whole() {
    let mut board = board();
    record(&mut board);
    for sequence in 2..5 {
        assert_eq!(orders(&judge(&mut board, &finished("first", sequence))), [], "it may be on its way");
    }
    board.pass_tick(0);
    board.pass_tick(1);
    assert_eq!(orders(&judge(&mut board, &finished("first", 5))), [(Order::Recorded, Some(0))]);
    board.logbook.grew((job(), ATTEMPT), 0, 10);
    let whole = judge(&mut board, &finished("first", 6));
    assert_eq!((orders(&whole), whole.check), (vec![], vec![(job(), ATTEMPT)]));
    board.logbook.close((job(), ATTEMPT));
    assert_eq!(orders(&judge(&mut board, &finished("first", 7))), [(Order::Recorded, None)]);
}

#[test]
fn a_log_that_stays_away_is_given_up_after_its_patience() {
    let mut board = board();
    record(&mut board);
    let given_up = (0..60).filter_map(|number| board.pass_tick(number)).flat_map(|passed| passed.given_up).count();
    assert_eq!(given_up, 1);
    assert_eq!(orders(&judge(&mut board, &finished("first", 2))), [(Order::Recorded, None)]);
}

#[test]
fn a_delivery_in_the_hand_keeps_the_attempt_whose_answer_was_lost() {
    let mut board = board();
    for number in 0..100 {
        let held = vec![HeldJob { job: job() }];
        judge(&mut board, &Beat { held, ..beat("first", number + 2) });
        assert!(board.pass_tick(number).is_some_and(|passed| passed.ended.is_empty()));
    }
}

#[test]
fn a_tick_that_is_delivered_twice_passes_no_time() {
    let mut board = board();
    assert!(board.pass_tick(0).is_some());
    assert!(board.pass_tick(0).is_none());
}

#[test]
fn a_runner_that_beats_but_does_not_have_the_attempt_is_not_blamed_for_its_loss() {
    let mut board = board();
    let mut ended = Vec::new();
    for number in 0..15 {
        judge(&mut board, &beat("first", number + 2));
        ended.extend(board.pass_tick(number).into_iter().flat_map(|passed| passed.ended));
    }
    assert!(matches!(ended.as_slice(), [(_, _, true)]), "{ended:?}");
}

#[test]
fn a_silent_runner_is_gone_and_takes_its_lease_along() {
    let mut board = board();
    let passed: Vec<_> = (0..20).filter_map(|number| board.pass_tick(number)).collect();
    assert_eq!(passed.iter().map(|passed| passed.gone.len()).sum::<usize>(), 1);
    let ended: Vec<_> = passed.iter().flat_map(|passed| &passed.ended).collect();
    assert!(matches!(ended.as_slice(), [(_, _, false)]), "{ended:?}");
}

#[test]
fn test_results_that_got_lost_come_again_with_the_result_and_only_then_it_is_over() {
    let mut board = board();
    record(&mut board);
    let runner = "north".parse().expect("a name");
    let end = End { runner, token: token(), length: 10, sha256: String::new(), test_pieces: 2 };
    board.logbook.ended((job(), ATTEMPT), end);
    board.logbook.grew((job(), ATTEMPT), 0, 10);
    assert!(!board.logbook.tested((job(), ATTEMPT), 1));
    assert_eq!(orders(&judge(&mut board, &finished("first", 2))), [], "the other one may be on its way");
    board.pass_tick(1);
    board.pass_tick(2);
    let judgement = judge(&mut board, &finished("first", 3));
    assert_eq!(orders(&judgement), [(Order::Continue, None)], "the result is asked for again, and the tests with it");
    assert!(judgement.check.is_empty(), "the log alone is not enough");
    assert!(board.logbook.tested((job(), ATTEMPT), 0));
    assert_eq!(judge(&mut board, &finished("first", 4)).check, [(job(), ATTEMPT)]);
}
