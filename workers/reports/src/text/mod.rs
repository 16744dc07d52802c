//! Finds test results in a job's log. Each form has a file of its own and takes only what is clearly of it.
//!
//! Line by line and in bounded memory, since a log may have a million lines and none may end.

mod libtest;
mod nextest;
mod tap;
mod unittest;

use std::borrow::Cow;

use crate::Collector;

/// The longest line that is looked at; what is beyond is passed over.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Reads a log as it comes, in pieces of any size.
#[derive(Debug, Default)]
pub struct LogReader {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    libtest: libtest::Libtest,
    nextest: nextest::Nextest,
    tap: tap::Tap,
    unittest: unittest::Unittest,
}

impl LogReader {
    /// At the beginning of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], collector: &mut Collector) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let last = pieces.next_back();
        for piece in pieces {
            if self.line.is_empty() {
                self.take(&piece[..piece.len().min(MAX_LINE_BYTES)], collector);
            } else {
                self.gather(piece);
                let line = std::mem::take(&mut self.line);
                self.take(&line, collector);
                self.line = line;
                self.line.clear();
            }
        }
        if let Some(piece) = last {
            self.gather(piece);
        }
    }

    /// The log has ended.
    pub fn finish(mut self, collector: &mut Collector) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take(&line, collector);
        }
        self.nextest.finish(collector);
        self.libtest.finish(collector);
        self.tap.finish(collector);
        self.unittest.finish(collector);
    }

    fn gather(&mut self, piece: &[u8]) {
        let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn take(&mut self, line: &[u8], collector: &mut Collector) {
        let text = String::from_utf8_lossy(line);
        let text = plain(&text);
        self.nextest.line(&text, collector);
        // What nextest shows of a failed test is libtest's own output again.
        if !self.nextest.is_running() {
            self.libtest.line(&text, collector);
        }
        self.tap.line(&text, collector);
        self.unittest.line(&text, collector);
    }
}

/// The line as a terminal would leave it: without colours, and only what stands after the last return to its
/// beginning.
fn plain(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit_once('\r').map_or(line, |(_, last)| last);
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, sequence)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        rest = match sequence.strip_prefix('[') {
            // A control sequence ends with a letter or one of @[\]^_`{|}~ (ECMA-48, section 5.4).
            Some(body) => match body.find(|c: char| ('@'..='~').contains(&c)) {
                Some(end) => &body[end + 1..],
                None => "",
            },
            None => sequence,
        };
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Splits `a::b::name` into class and name.
fn module_and_name(path: &str) -> (String, String) {
    match path.rsplit_once("::") {
        Some((module, name)) if !path.contains(' ') => (module.to_owned(), name.to_owned()),
        _ => (String::new(), path.to_owned()),
    }
}

/// `0.004s` or `0.004`.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches('>').trim();
    let seconds: f64 = text.strip_suffix('s').unwrap_or(text).parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..=1e9).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_returns_leave_no_trace() {
        assert_eq!(plain("\u{1b}[32mok\u{1b}[0m\r"), "ok");
        assert_eq!(plain("half a bar\rtest a ... ok"), "test a ... ok");
        assert_eq!(plain("a\u{1b}[0"), "a");
        assert_eq!(plain("a\u{1b}"), "a");
    }

    #[test]
    fn a_line_is_the_same_however_it_is_cut() {
        let log = b"TAP version 13\nok 1 - a\nnot ok 2 - b\n1..2\n";
        let whole = read(&[log]);
        assert_eq!(whole.summary.counts.total(), 2);
        for size in 1..20 {
            assert_eq!(read(&log.chunks(size).collect::<Vec<_>>()), whole, "{size}");
        }
    }

    fn read(pieces: &[&[u8]]) -> crate::TestReport {
        let (mut reader, mut collector) = (LogReader::new(), Collector::new());
        for piece in pieces {
            reader.feed(piece, &mut collector);
        }
        reader.finish(&mut collector);
        collector.finish()
    }
}
