//! Durations as authors write them: `90s`, `30m`, `2h`, `1h30m`.

/// Seconds, or `None` if the text has another form or is too large to count.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    let mut last_unit = u64::MAX;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest[digits..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        // Each unit once, the larger first: `30m1h` is more likely a slip than meant.
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn what_authors_write_is_read_and_nothing_else() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("1d"), Some(86_400));
        for bad in ["", "30", "m", "30 m", "1m1h", "1m1m", "-1s", "1.5h", "99999999999999999999h", "1h30", "5x"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
