//! The body of a dead letter as it may be shown: text with control characters spelled out, or hex.
//!
//! A body was written by nobody knows whom: it is bounded, and never obeyed by a page or a terminal.

use crate::shown::shown;

/// How much of a body is shown.
const SHOWN: usize = 16 * 1024;

/// A body, or the beginning of it.
pub(super) enum Body {
    /// It is UTF-8.
    Text(String),
    /// It is not.
    Hex(String),
}

impl Body {
    /// What is shown of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let part = &bytes[..bytes.len().min(SHOWN)];
        match std::str::from_utf8(part) {
            Ok(text) => Self::Text(shown(text)),
            // Cut inside a character, and not wrong.
            Err(cut) if cut.error_len().is_none() && part.len() < bytes.len() => {
                Self::Text(shown(&String::from_utf8_lossy(&part[..cut.valid_up_to()])))
            }
            Err(_) => Self::Hex(part.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    /// Whether all of `bytes` is shown.
    pub(super) fn is_whole(bytes: u64) -> bool {
        bytes <= SHOWN as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        match Body::of(bytes) {
            Body::Text(text) => text,
            Body::Hex(hex) => panic!("hex: {hex}"),
        }
    }

    #[test]
    fn a_body_is_shown_and_not_obeyed() {
        assert_eq!(text(b"a\x1b[2J\0b"), "a\\u{1b}[2J\\u{0}b");
        assert_eq!(text("x\u{202e}y".as_bytes()), "x\\u{202e}y");
        assert_eq!(text(b""), "");
        assert!(matches!(Body::of(b"\xff\x00"), Body::Hex(hex) if hex == "ff00"));
    }

    #[test]
    fn a_long_body_is_cut_between_characters() {
        let long = format!("a{}", "é".repeat(SHOWN));
        assert!(text(long.as_bytes()).len() <= SHOWN);
        assert!(!Body::is_whole(long.len() as u64) && Body::is_whole(SHOWN as u64));
    }
}
