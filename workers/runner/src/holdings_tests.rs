//! Stories about [`super::Holdings`]; the deliveries are numbers.

use messages::{AttemptOrder, AttemptToken};
use uuid::Uuid;

use super::*;

const LIFE: Incarnation = Incarnation(Uuid::from_u128(1));

fn job(n: u128) -> JobId {
    JobId(Uuid::from_u128(n))
}

fn ticket(attempt: u32) -> Ticket {
    Ticket { attempt: AttemptNumber(attempt), token: AttemptToken::from_random([7; 16]) }
}

fn answer(sequence: u64, orders: Vec<AttemptOrder>) -> BeatAnswer {
    BeatAnswer { incarnation: LIFE, sequence, orders, drain: false }
}

fn order(n: u128, attempt: u32, order: Order) -> AttemptOrder {
    AttemptOrder { job: job(n), attempt: AttemptNumber(attempt), order, log_from: None }
}

/// Holdings with job 1 running as attempt 1, brought by delivery 10.
fn running() -> Holdings<u32> {
    let mut holdings = Holdings::new(LIFE);
    assert!(holdings.delivered(job(1), false, 10));
    assert_eq!(holdings.claiming(job(1)), Some(false));
    holdings.started(job(1), ticket(1));
    holdings
}

#[test]
fn a_copy_of_a_running_job_is_neither_run_nor_settled_before_ours_is_recorded() {
    let mut holdings = running();
    assert!(!holdings.delivered(job(1), true, 11));
    holdings.finished(job(1));
    holdings.reported(job(1));
    assert_eq!(holdings.take_delivery(job(1)), Some(10));
    holdings.lists(|_| 0);
    let commands = holdings.answered(&answer(1, vec![order(1, 1, Order::Recorded)]));
    assert_eq!(commands, [Command::Recorded(job(1))]);
    assert_eq!(holdings.forget(job(1)), (None, vec![11]));
    assert!(holdings.is_empty());
}

#[test]
fn an_interruption_ends_no_running_job_and_forgets_what_was_only_held() {
    let mut holdings = running();
    holdings.delivered(job(2), false, 20);
    holdings.delivered(job(3), false, 30);
    assert_eq!(holdings.claiming(job(3)), Some(false));
    assert_eq!(holdings.interrupted(), [10, 20, 30]);
    let lists = holdings.lists(|_| 0);
    assert_eq!(lists.running.len(), 1);
    assert_eq!(lists.held, [HeldJob { job: job(3) }], "asked for, so perhaps ours");
    assert_eq!(holdings.claiming(job(2)), None, "the lease of a forgotten delivery ends");
    assert!(!holdings.delivered(job(3), true, 31), "its own copy again");
    assert_eq!(holdings.forget(job(3)), (Some(31), vec![]));
}

#[test]
fn what_an_answer_does_not_name_goes_on() {
    let mut holdings = running();
    holdings.lists(|_| 0);
    holdings.delivered(job(2), false, 20);
    holdings.claiming(job(2));
    holdings.started(job(2), ticket(1));
    assert_eq!(holdings.answered(&answer(1, vec![order(1, 1, Order::Continue)])), []);
    assert_eq!(holdings.lists(|_| 0).running.len(), 2);
}

#[test]
fn answers_to_another_life_another_attempt_or_an_older_beat_are_ignored() {
    let mut holdings = running();
    holdings.lists(|_| 0);
    holdings.lists(|_| 0);
    let mut foreign = answer(1, vec![order(1, 1, Order::Void)]);
    foreign.incarnation = Incarnation(Uuid::from_u128(2));
    assert_eq!(holdings.answered(&foreign), []);
    assert_eq!(holdings.answered(&answer(3, vec![order(1, 1, Order::Void)])), [], "a beat that was never sent");
    assert_eq!(holdings.answered(&answer(2, vec![order(1, 2, Order::Void)])), []);
    assert_eq!(holdings.answered(&answer(1, vec![order(1, 1, Order::Void)])), []);
    let second = holdings.answered(&answer(2, vec![order(1, 1, Order::Void)]));
    assert_eq!(second, [Command::Void(job(1))], "a second answer to the same beat counts");
}

#[test]
fn a_result_that_got_lost_is_sent_again_and_one_on_its_way_is_not() {
    let mut holdings = running();
    holdings.finished(job(1));
    holdings.lists(|_| 0);
    holdings.reported(job(1));
    assert_eq!(holdings.answered(&answer(1, vec![order(1, 1, Order::Continue)])), [], "confirmed after this beat");
    holdings.lists(|_| 0);
    let commands = holdings.answered(&answer(2, vec![order(1, 1, Order::Continue)]));
    assert_eq!(commands, [Command::ResendResult(job(1))]);
}

#[test]
fn a_recorded_result_is_kept_while_its_log_has_a_gap() {
    let mut holdings = running();
    holdings.finished(job(1));
    holdings.reported(job(1));
    holdings.lists(|_| 0);
    let gap = AttemptOrder { log_from: Some(5), ..order(1, 1, Order::Recorded) };
    assert_eq!(holdings.answered(&answer(1, vec![gap])), [Command::ResendLog(job(1), 5)]);
    assert!(!holdings.is_empty());
}

#[test]
fn a_cancel_reaches_the_attempt_it_names_only() {
    let mut holdings = running();
    let cancel = |attempt| CancelAttempt { job: job(1), attempt: AttemptNumber(attempt) };
    assert_eq!(holdings.cancelled(&cancel(2)), None);
    assert_eq!(holdings.cancelled(&cancel(1)), Some(Command::Cancel(job(1))));
    holdings.lists(|_| 0);
    assert_eq!(holdings.answered(&answer(1, vec![order(1, 1, Order::Cancel)])), [Command::Cancel(job(1))]);
    holdings.finished(job(1));
    assert_eq!(holdings.cancelled(&cancel(1)), None, "its verdict arrived first");
}

#[test]
fn a_drain_gives_back_what_is_held_and_keeps_what_runs() {
    let mut holdings = running();
    holdings.delivered(job(2), false, 20);
    assert_eq!(holdings.release_held(), [20]);
    assert!(holdings.is_working());
    assert_eq!(holdings.claiming(job(2)), None);
}
