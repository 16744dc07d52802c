//! The one point through which text from outside reaches a page.
//!
//! Templates escape markup; this shows what would steer a reader instead of letting it: control
//! characters and those that change the direction of writing or take no room (Unicode Standard Annex 9).

/// Text from outside, as a page may show it.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || c == '\t' {
            out.push(c);
        } else if c.is_control() || steers(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A log as a page may show it: colours and cursor movements are left out, the rest is [`shown`].
pub(crate) fn shown_log(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            '\r' => {}
            c => plain.push(c),
        }
    }
    shown(&plain)
}

/// Passes over one escape sequence (ECMA-48: CSI and OSC; any other takes one character).
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    return;
                }
            }
        }
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' {
                    return;
                }
                if c == '\u{1b}' && chars.peek() == Some(&'\\') {
                    chars.next();
                    return;
                }
            }
        }
        _ => {}
    }
}

fn steers(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_shown_and_not_obeyed() {
        assert_eq!(shown("a\u{202e}b\u{0}c"), "a\\u{202e}b\\u{0}c");
        assert_eq!(shown("漢字 é\n"), "漢字 é\n");
    }

    #[test]
    fn a_log_loses_its_colours_and_nothing_else() {
        assert_eq!(shown_log(b"\x1b[31mred\x1b[0m\r\n\x1b]8;;javascript:x\x07link\x1b]8;;\x1b\\!"), "red\nlink!");
        assert_eq!(shown_log(b"cut \x1b[3"), "cut ");
    }
}
