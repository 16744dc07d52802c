//! How text of the file is shown to people.
//!
//! Apart because the file is text from outside: whatever could steer a terminal, turn the reading
//! direction or hide in a page becomes an escape here, and nothing is shown at more than its bound.

/// The most characters of a value or key within a message.
const MAX_QUOTED_CHARS: usize = 60;
/// The most characters of a line of the file.
const MAX_LINE_CHARS: usize = 120;

/// A part of one line and where in it to point, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) line: String,
    pub(crate) caret: usize,
}

/// Whether a character acts on what shows it, or is not seen at all.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn shown(c: char) -> String {
    match c {
        '\t' => " ".to_owned(),
        c if steers(c) => c.escape_unicode().to_string(),
        c => c.to_string(),
    }
}

/// The text in quotes, harmless and cut.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let mut left = MAX_QUOTED_CHARS;
    for c in text.chars() {
        let piece = shown(c);
        let Some(rest) = left.checked_sub(piece.chars().count()) else {
            out.push('…');
            break;
        };
        left = rest;
        out.push_str(&piece);
    }
    out.push('"');
    out
}

/// Whether [`quoted`] shows the whole text as TOML would read it back.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().count() <= MAX_QUOTED_CHARS && !text.chars().any(|c| steers(c) || matches!(c, '"' | '\\'))
}

/// The text, harmless and cut to a number of bytes; line breaks stay.
pub(crate) fn bounded(text: &str, max_bytes: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let piece = if c == '\n' { "\n".to_owned() } else { shown(c) };
        if out.len() + piece.len() + '…'.len_utf8() > max_bytes {
            out.push('…');
            break;
        }
        out.push_str(&piece);
    }
    out
}

/// The part of a line around a place (in characters of the line). `None`: there is nothing to see.
pub(crate) fn excerpt(line: &str, place: usize) -> Option<Excerpt> {
    if line.trim().is_empty() {
        return None;
    }
    // Escapes are wide, so what fits is counted in shown characters, outwards from the place.
    let before: Vec<char> = line.chars().take(place).collect();
    let mut left = Vec::new();
    let mut caret = 0;
    for c in before.iter().rev() {
        let piece = shown(*c);
        let width = piece.chars().count();
        if caret + width > MAX_LINE_CHARS / 2 {
            break;
        }
        caret += width;
        left.push(piece);
    }
    let cut_before = left.len() < before.len();
    let mut out: String = left.into_iter().rev().collect();
    let mut width = caret;
    for c in line.chars().skip(place) {
        let piece = shown(c);
        width += piece.chars().count();
        if width > MAX_LINE_CHARS {
            out.push('…');
            break;
        }
        out.push_str(&piece);
    }
    if cut_before {
        out.insert(0, '…');
        caret += 1;
    }
    Some(Excerpt { line: out, caret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_stays_in_sight_however_long_and_strange_its_line_is() {
        for filler in ["x", "\u{202e}", "\u{10ffff}", "字"] {
            let line = format!("{}here{}", filler.repeat(500), filler.repeat(500));
            let Excerpt { line, caret } = excerpt(&line, 500).expect("there is something to see");
            assert!(line.chars().skip(caret).collect::<String>().starts_with("here"), "{line}");
            assert!(line.chars().count() <= MAX_LINE_CHARS + 2, "{line}");
        }
    }

    #[test]
    fn what_acts_or_hides_is_spelled_out() {
        assert_eq!(quoted("a\u{1b}b\u{2028}\n"), "\"a\\u{1b}b\\u{2028}\\u{a}\"");
        assert!(quoted(&"\u{202e}".repeat(1000)).len() < 100);
        assert_eq!(bounded("a\nb\u{7f}", 100), "a\nb\\u{7f}");
        assert!(bounded(&"字".repeat(1000), 100).len() <= 100);
    }
}
