//! How far each log has come, and from where a runner must send again; which test results are recorded. Pure.
//!
//! A log never gates a verdict: what is missing after the end is asked for with the order `recorded`,
//! until the runner's patience and ours ([`PATIENCE`]) are over. Must not know the files.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::{AttemptToken, MAX_TEST_PIECES, RunnerName};

use crate::settled::AttemptKey;

/// How long after the end of an attempt its log may be incomplete before it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// So many ticks without a new byte mean that what the runner sent is lost. Not beats: a runner beats
/// after each result, and then two of them may be a millisecond apart.
const STALLED: u64 = 2;

pub(crate) struct Logbook {
    entries: BTreeMap<AttemptKey, Entry>,
    patience: u32,
    now: u64,
}

#[derive(Debug, Default)]
struct Entry {
    length: u64,
    /// The tick at which it grew, began, or was asked for last.
    moved_at: u64,
    /// The gap that was asked for outside of a beat: once is enough.
    asked: Option<u64>,
    end: Option<End>,
    ticks_since_end: u32,
    /// A bit for each piece of test results that is recorded.
    test_pieces: u64,
}

/// How a finished attempt's log should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) runner: RunnerName,
    pub(crate) token: AttemptToken,
    pub(crate) length: u64,
    pub(crate) sha256: String,
    /// How many pieces of test results come besides.
    pub(crate) test_pieces: u32,
}

impl Entry {
    fn tests_are_whole(&self) -> bool {
        let wanted = self.end.as_ref().map_or(0, |end| end.test_pieces.min(MAX_TEST_PIECES));
        (0..wanted).all(|piece| self.test_pieces >> piece & 1 == 1)
    }
}

/// What a beat's answer says about a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing is missing that is not on its way.
    Nothing,
    /// More is to come, and does.
    Coming,
    /// It has stopped here although the runner sent more: send again from this byte.
    From(u64),
    /// All of it is here, and whether it is the right bytes is still to be seen.
    Check,
    /// The log is here and test results are missing, which come again with the result.
    Tests,
}

impl Logbook {
    /// `patience` is [`PATIENCE`] in ticks.
    pub(crate) fn new(patience: u32) -> Self {
        Self { entries: BTreeMap::new(), patience, now: 0 }
    }

    fn entry(&mut self, attempt: AttemptKey) -> &mut Entry {
        let moved_at = self.now;
        self.entries.entry(attempt).or_insert_with(|| Entry { moved_at, ..Entry::default() })
    }

    /// A finished attempt whose log may still be on its way.
    pub(crate) fn ended(&mut self, attempt: AttemptKey, end: End) {
        self.entry(attempt).end = Some(end);
    }

    pub(crate) fn end_of(&self, attempt: AttemptKey) -> Option<&End> {
        self.entries.get(&attempt).and_then(|entry| entry.end.as_ref())
    }

    /// The runner of a finished attempt with this token whose log is awaited.
    pub(crate) fn awaits(&self, attempt: AttemptKey, token: &AttemptToken) -> Option<&RunnerName> {
        self.end_of(attempt).filter(|end| end.token == *token).map(|end| &end.runner)
    }

    /// The log reaches to `length` now, after a chunk at `offset` was given. Returns whether a gap showed
    /// that nobody has asked for yet.
    pub(crate) fn grew(&mut self, attempt: AttemptKey, offset: u64, length: u64) -> bool {
        let now = self.now;
        let entry = self.entry(attempt);
        if entry.length != length {
            entry.moved_at = now;
        }
        entry.length = length;
        let gap = offset > length && entry.asked != Some(length);
        if gap {
            entry.asked = Some(length);
        }
        gap
    }

    /// A piece of test results is recorded. Returns whether that was the last of an ended attempt.
    pub(crate) fn tested(&mut self, attempt: AttemptKey, piece: u32) -> bool {
        let now = self.now;
        let entry = self.entry(attempt);
        entry.moved_at = now;
        entry.test_pieces |= 1_u64.checked_shl(piece).unwrap_or(0);
        entry.end.is_some() && entry.tests_are_whole()
    }

    /// Whether nothing but perhaps the log is missing of an ended attempt.
    pub(crate) fn has_tests(&self, attempt: AttemptKey) -> bool {
        self.entries.get(&attempt).is_none_or(Entry::tests_are_whole)
    }

    /// The length as the files tell it, for a log that nothing was heard of since the start of the term.
    pub(crate) fn measured(&mut self, attempt: AttemptKey, length: u64) {
        self.entry(attempt).length = length;
    }

    /// A beat lists the attempt and says that `sent` bytes were sent so far.
    pub(crate) fn listed(&mut self, attempt: AttemptKey, sent: u64) -> Want {
        let now = self.now;
        let entry = self.entry(attempt);
        let wanted = entry.end.as_ref().map_or(sent, |end| end.length.max(sent));
        let stalled = now - entry.moved_at >= STALLED;
        match (entry.length < wanted, stalled) {
            (true, true) => {
                entry.moved_at = now;
                Want::From(entry.length)
            }
            (true, false) => Want::Coming,
            (false, _) if entry.end.is_none() => Want::Nothing,
            (false, _) if entry.tests_are_whole() => Want::Check,
            (false, true) => {
                entry.moved_at = now;
                Want::Tests
            }
            (false, false) => Want::Coming,
        }
    }

    /// Whole, void or given up.
    pub(crate) fn close(&mut self, attempt: AttemptKey) -> Option<End> {
        self.entries.remove(&attempt).and_then(|entry| entry.end)
    }

    /// One own tick passed. Returns, and forgets, the logs that are given up, with how far they came.
    pub(crate) fn tick(&mut self) -> Vec<(AttemptKey, End, u64)> {
        self.now += 1;
        for entry in self.entries.values_mut().filter(|entry| entry.end.is_some()) {
            entry.ticks_since_end = entry.ticks_since_end.saturating_add(1);
        }
        let over = |entry: &Entry| entry.ticks_since_end >= self.patience;
        let ended: Vec<_> = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(key, _)| *key).collect();
        let close = |attempt: AttemptKey| {
            let entry = self.entries.remove(&attempt)?;
            entry.end.map(|end| (attempt, end, entry.length))
        };
        ended.into_iter().filter_map(close).collect()
    }
}
