//! Words of the database and values of the program, both ways. What does not fit is an error, never a guess.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use messages::{AttemptNumber, ErroredKind, ErroredReason, Verdict};
use serde::de::DeserializeOwned;

use crate::lifecycle::JobState;
use crate::{AttemptState, LedgerError, State};

/// What is stored does not fit.
pub(crate) fn odd(what: impl Display) -> LedgerError {
    LedgerError::Inconsistent { what: what.to_string() }
}

/// A name, id or word.
pub(crate) fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(odd)
}

/// The text of each, for statements.
pub(crate) fn texts<T: Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// JSON as text.
pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(odd)
}

/// Text as JSON.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(odd)
}

/// A time.
pub(crate) fn time(micros: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_microsecond(micros).map_err(odd)
}

/// A time that may be missing.
pub(crate) fn maybe_time(micros: Option<i64>) -> Result<Option<Timestamp>, LedgerError> {
    micros.map(time).transpose()
}

/// A count.
pub(crate) fn count(number: i64) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(odd)
}

/// A count for the database, which has no unsigned numbers.
pub(crate) fn to_count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An attempt's number; `None` before the first.
pub(crate) fn attempt_of(number: i64) -> Result<Option<AttemptNumber>, LedgerError> {
    let number = u32::try_from(number).map_err(odd)?;
    Ok((number > 0).then_some(AttemptNumber(number)))
}

/// A verdict that may be missing.
pub(crate) fn verdict_of(word: Option<&str>) -> Result<Option<Verdict>, LedgerError> {
    word.map(parse).transpose()
}

/// A reason that may be missing.
pub(crate) fn reason_of(kind: Option<&str>, detail: Option<String>) -> Result<Option<ErroredReason>, LedgerError> {
    kind.map(|kind| Ok(ErroredReason { kind: parse::<ErroredKind>(kind)?, detail: detail.unwrap_or_default() }))
        .transpose()
}

/// The word for a state.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Queued => "queued",
        State::Running => "running",
        State::Done => "done",
    }
}

/// The state for a word.
pub(crate) fn state_of(word: &str) -> Result<State, LedgerError> {
    [State::Waiting, State::Queued, State::Running, State::Done]
        .into_iter()
        .find(|state| state_word(*state) == word)
        .ok_or_else(|| odd(format_args!("state {word:?}")))
}

/// The word for a job's state.
pub(crate) fn shown(state: JobState) -> State {
    match state {
        JobState::Waiting => State::Waiting,
        JobState::Queued => State::Queued,
        JobState::Running { .. } => State::Running,
        JobState::Done(_) => State::Done,
    }
}

/// A job's state from its columns.
pub(crate) fn job_state(
    word: &str,
    verdict: Option<&str>,
    attempt: i64,
    cancelling: i16,
) -> Result<JobState, LedgerError> {
    Ok(match (state_of(word)?, verdict_of(verdict)?, attempt_of(attempt)?) {
        (State::Waiting, None, _) => JobState::Waiting,
        (State::Queued, None, _) => JobState::Queued,
        (State::Running, None, Some(attempt)) => JobState::Running { attempt, cancelling: cancelling != 0 },
        (State::Done, Some(verdict), _) => JobState::Done(verdict),
        (state, verdict, attempt) => {
            return Err(odd(format_args!("a job that is {state:?} with {verdict:?} in attempt {attempt:?}")));
        }
    })
}

/// The word for an attempt's state.
pub(crate) fn attempt_word(state: AttemptState) -> &'static str {
    match state {
        AttemptState::Running => "running",
        AttemptState::Finished => "finished",
        AttemptState::Lost => "lost",
        AttemptState::HandedBack => "handed_back",
    }
}

/// The attempt's state for a word.
pub(crate) fn attempt_state_of(word: &str) -> Result<AttemptState, LedgerError> {
    [AttemptState::Running, AttemptState::Finished, AttemptState::Lost, AttemptState::HandedBack]
        .into_iter()
        .find(|state| attempt_word(*state) == word)
        .ok_or_else(|| odd(format_args!("attempt state {word:?}")))
}
