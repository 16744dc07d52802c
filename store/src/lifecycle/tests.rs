//! Every state meets every event.

use messages::{AttemptNumber, Verdict};
use proptest::prelude::*;

use super::{IllegalEvent, JobEvent as E, JobState as S, next};

const THIS: AttemptNumber = AttemptNumber(2);
const OTHERS: [AttemptNumber; 2] = [AttemptNumber(1), AttemptNumber(3)];

fn states() -> Vec<S> {
    let mut all = vec![S::Waiting, S::Queued];
    all.extend([false, true].map(|cancelling| S::Running { attempt: THIS, cancelling }));
    all.extend(Verdict::ALL.map(S::Done));
    all
}

fn events_of(attempt: AttemptNumber) -> Vec<E> {
    let mut all = vec![
        E::NeedsMet,
        E::NeedsFailed,
        E::Filtered,
        E::CancelAsked,
        E::Started { attempt },
        E::RetryAfterError { attempt },
        E::Lost { attempt },
        E::HandedBack { attempt },
        E::CapReached { attempt },
    ];
    all.extend(Verdict::ALL.map(|verdict| E::Finished { attempt, verdict }));
    all.extend(Verdict::ALL.map(|verdict| E::TryAgain { attempt, verdict }));
    all
}

/// All that may happen, written a second time and on purpose as a plain list.
fn legal() -> Vec<(S, E, S)> {
    let attempt = THIS;
    let running = S::Running { attempt, cancelling: false };
    let cancelling = S::Running { attempt, cancelling: true };
    let cancelled = S::Done(Verdict::Cancelled);
    let mut table = vec![
        (S::Waiting, E::NeedsMet, S::Queued),
        (S::Waiting, E::NeedsFailed, S::Done(Verdict::Skipped)),
        (S::Waiting, E::Filtered, S::Done(Verdict::Skipped)),
        (S::Waiting, E::CancelAsked, cancelled),
        (S::Queued, E::Started { attempt }, running),
        (S::Queued, E::CancelAsked, cancelled),
        (running, E::CancelAsked, cancelling),
        (running, E::Lost { attempt }, S::Queued),
        (running, E::HandedBack { attempt }, S::Queued),
        (running, E::RetryAfterError { attempt }, S::Queued),
        (running, E::CapReached { attempt }, S::Done(Verdict::Errored)),
        (cancelling, E::CancelAsked, cancelling),
        (cancelling, E::Lost { attempt }, cancelled),
        (cancelling, E::HandedBack { attempt }, cancelled),
        (cancelling, E::RetryAfterError { attempt }, cancelled),
        (cancelling, E::CapReached { attempt }, cancelled),
    ];
    for verdict in [Verdict::Failed, Verdict::TimedOut] {
        table.push((running, E::TryAgain { attempt, verdict }, S::Queued));
        table.push((cancelling, E::TryAgain { attempt, verdict }, S::Done(verdict)));
    }
    for verdict in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Skipped) {
        table.push((running, E::Finished { attempt, verdict }, S::Done(verdict)));
        table.push((cancelling, E::Finished { attempt, verdict }, S::Done(verdict)));
    }
    table
}

#[test]
fn what_the_table_does_not_allow_cannot_happen() {
    let table = legal();
    for state in states() {
        for event in events_of(THIS) {
            let expected = table.iter().find(|(s, e, _)| (*s, *e) == (state, event)).map(|(_, _, after)| *after);
            assert_eq!(next(&state, &event), expected.ok_or(IllegalEvent { state, event }), "{state:?} x {event:?}");
        }
    }
}

#[test]
fn a_word_about_another_attempt_never_moves_a_running_job() {
    for cancelling in [false, true] {
        let state = S::Running { attempt: THIS, cancelling };
        for event in OTHERS.into_iter().flat_map(events_of).filter(|event| *event != E::CancelAsked) {
            assert_eq!(next(&state, &event), Err(IllegalEvent { state, event }));
        }
    }
}

fn any_event() -> impl Strategy<Value = E> {
    proptest::sample::select([1, 2, 3].map(AttemptNumber).into_iter().flat_map(events_of).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn a_done_job_never_changes_and_every_other_one_can_still_end(
        events in proptest::collection::vec(any_event(), 0..60)
    ) {
        let mut state = S::FIRST;
        for event in events {
            let after = next(&state, &event).unwrap_or(state);
            if matches!(state, S::Done(_)) {
                prop_assert_eq!(after, state);
            }
            state = after;
        }
        let ended = match state {
            S::Running { attempt, .. } => next(&state, &E::CapReached { attempt }),
            S::Waiting | S::Queued => next(&state, &E::CancelAsked),
            S::Done(_) => Ok(state),
        };
        prop_assert!(matches!(ended, Ok(S::Done(_))));
    }
}
