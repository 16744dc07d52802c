//! Text of any length in bounded memory: its beginning and its end stay, and how much went in between.
//!
//! Both ends matter: a Rust panic says why at the beginning, a Python traceback at the end.

use messages::MAX_TEST_MESSAGE_BYTES;

/// Room for the line that says what was cut.
const MARK: usize = 64;
const HEAD: usize = 2400;
const TAIL: usize = MAX_TEST_MESSAGE_BYTES - HEAD - MARK;

#[derive(Debug, Clone, Default)]
pub(crate) struct Excerpt {
    head: String,
    tail: String,
    cut: usize,
}

impl Excerpt {
    pub(crate) fn of(text: &str) -> Self {
        let mut excerpt = Self::default();
        excerpt.push(text);
        excerpt
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    pub(crate) fn push(&mut self, text: &str) {
        let mut rest = text;
        if self.tail.is_empty() && self.cut == 0 {
            let (fits, more) = split(rest, HEAD.saturating_sub(self.head.len()));
            self.head.push_str(fits);
            rest = more;
        }
        if rest.is_empty() {
            return;
        }
        // Of a very long piece only the end can stay.
        let (lost, kept) = split_end(rest, TAIL);
        if !lost.is_empty() {
            self.cut += self.tail.len() + lost.len();
            self.tail.clear();
        }
        self.tail.push_str(kept);
        if self.tail.len() > 2 * TAIL {
            self.shorten();
        }
    }

    /// A line of a block.
    pub(crate) fn push_line(&mut self, line: &str) {
        if !self.is_empty() {
            self.push("\n");
        }
        self.push(line);
    }

    /// The text, at most as long as a message may be; `None` if it is blank.
    pub(crate) fn finish(mut self) -> Option<String> {
        if self.tail.len() > TAIL {
            self.shorten();
        }
        let text = if self.cut > 0 {
            format!("{}\n[{} bytes are left out here]\n{}", self.head, self.cut, self.tail)
        } else {
            self.head + &self.tail
        };
        let text = text.trim_matches(['\n', '\r']).trim_end();
        // No database keeps a NUL in a text.
        (!text.trim().is_empty()).then(|| text.replace('\0', "\u{fffd}"))
    }

    fn shorten(&mut self) {
        let (lost, kept) = split_end(&self.tail, TAIL);
        self.cut += lost.len();
        self.tail = kept.to_owned();
    }
}

/// The longest beginning of at most `most` bytes, and the rest.
pub(crate) fn split(text: &str, most: usize) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(most))
}

fn split_end(text: &str, most: usize) -> (&str, &str) {
    text.split_at(text.ceil_char_boundary(text.len().saturating_sub(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_stays_as_it_is() {
        assert_eq!(Excerpt::of("\nleft\n  right\n\n").finish().as_deref(), Some("left\n  right"));
        assert_eq!(Excerpt::of(" \n ").finish(), None);
    }

    #[test]
    fn of_long_text_both_ends_stay_however_it_comes() {
        let text = format!("begin {} end", "ü".repeat(50_000));
        let whole = Excerpt::of(&text).finish().expect("a text");
        let mut pieces = Excerpt::default();
        for piece in text.split_inclusive('ü') {
            pieces.push(piece);
        }
        for short in [whole, pieces.finish().expect("a text")] {
            assert!(short.len() <= MAX_TEST_MESSAGE_BYTES, "{}", short.len());
            assert!(short.starts_with("begin ü") && short.ends_with("ü end"), "{short}");
            assert!(short.contains("bytes are left out here"), "{short}");
        }
    }
}
