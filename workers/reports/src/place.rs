//! Where in the source a message points to.

/// The place that a Rust panic names: `panicked at src/lib.rs:10:5:` or the older `..., src/lib.rs:10:5`.
pub(crate) fn of_panic(line: &str) -> Option<(String, u32)> {
    let (_, rest) = line.split_once("panicked at ")?;
    let rest = rest.trim_end().trim_end_matches(':');
    of_path(rest.rsplit_once(", ").map_or(rest, |(_, place)| place))
}

/// The place that a line of a Python traceback names: `File "a.py", line 3, in test`.
pub(crate) fn of_traceback(line: &str) -> Option<(String, u32)> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (file, rest) = rest.split_once("\", line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((file.to_owned(), digits.parse().ok()?))
}

/// `path:line` or `path:line:column`.
pub(crate) fn of_path(text: &str) -> Option<(String, u32)> {
    let text = text.trim().trim_matches(['\'', '"']);
    let (rest, last) = text.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    let found = match rest.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<u32>().ok()?))) {
        Some((file, line)) => (file.to_owned(), line),
        None => (rest.to_owned(), last),
    };
    (!found.0.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        let place = |file: &str, line| Some((file.to_owned(), line));
        assert_eq!(of_panic("thread 'a' panicked at src/lib.rs:10:5:"), place("src/lib.rs", 10));
        assert_eq!(of_panic("thread 'a' panicked at 'no, never', src/a b.rs:7:1"), place("src/a b.rs", 7));
        assert_eq!(of_panic("panicked at nothing"), None);
        assert_eq!(of_traceback("  File \"/w/test_a.py\", line 8, in test_b"), place("/w/test_a.py", 8));
        assert_eq!(of_traceback("  File \"x\", line nine"), None);
        assert_eq!(of_path("'/w/a.test.js:12:3'"), place("/w/a.test.js", 12));
        assert_eq!(of_path("C:\\a.js:12"), place("C:\\a.js", 12));
    }
}
