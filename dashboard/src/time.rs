//! Times and durations as people read them.

use jiff::Timestamp;

/// `1.2 s`, `3 min 4 s`, `2 h 5 min`; never negative, whatever two clocks say.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let milliseconds = to.duration_since(from).as_millis().max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..=9 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_and_are_never_negative() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("in range");
        assert_eq!(duration(at(0), at(1234)), "1.2 s");
        assert_eq!(duration(at(0), at(184_000)), "3 min 4 s");
        assert_eq!(duration(at(0), at(7_500_000)), "2 h 5 min");
        assert_eq!(duration(at(5000), at(0)), "0.0 s");
    }
}
