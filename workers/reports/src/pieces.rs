//! Cuts a report into pieces that fit into a message each.

use messages::{MAX_CASES_IN_PIECE, TestCase};

/// The most bytes of text in a piece: JSON may need six bytes for one.
const MAX_PIECE_BYTES: usize = 128 * 1024;

/// The cases in pieces, at least one piece. By the collector's limits there are never more than
/// [`messages::MAX_TEST_PIECES`].
pub fn pieces(cases: Vec<TestCase>) -> Vec<Vec<TestCase>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for case in cases {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let size = 64 + case.suite.len() + case.class.len() + case.name.len() + text(&case.message) + text(&case.file);
        let full =
            pieces.last().is_some_and(|piece| piece.len() >= MAX_CASES_IN_PIECE || bytes + size > MAX_PIECE_BYTES);
        if full {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(piece) = pieces.last_mut() {
            piece.push(case);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use messages::{
        AttemptNumber, AttemptToken, Envelope, JobId, MAX_TEST_PIECES, MessageId, TestOutcome, TestResults, TestSummary,
    };

    use super::*;
    use crate::Collector;

    #[test]
    fn the_largest_report_fits_into_messages() {
        let mut collector = Collector::new();
        for number in 0..20_000 {
            // Control characters need most room in JSON.
            let name = format!("{number}{}", "\u{1}".repeat(300));
            let outcome = if number % 2 == 0 { TestOutcome::Failed } else { TestOutcome::Passed };
            collector.add(TestCase {
                suite: name.clone(),
                class: name.clone(),
                name,
                outcome,
                duration_ms: Some(1),
                message: Some("\u{1}".repeat(10_000)),
                file: Some("\u{1}".repeat(300)),
                line: Some(1),
            });
        }
        let report = collector.finish();
        let kept = report.cases.len();
        let cut = pieces(report.cases);
        assert!(u32::try_from(cut.len()).expect("few") <= MAX_TEST_PIECES, "{}", cut.len());
        assert_eq!(cut.iter().map(Vec::len).sum::<usize>(), kept);
        for cases in cut {
            let message = TestResults {
                job: JobId(MessageId::of(&["job"]).0),
                attempt: AttemptNumber::FIRST,
                token: AttemptToken::from_random([0; 16]),
                piece: 0,
                pieces: 1,
                summary: TestSummary::default(),
                cases,
            };
            Envelope::of(&message, message.message_id()).expect("it fits");
        }
        assert_eq!(pieces(Vec::new()).len(), 1);
    }
}
