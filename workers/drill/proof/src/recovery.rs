//! How soon the jobs of a killed runner went on.

use std::time::Duration;

use crate::recorded::Build;
use crate::truth::Truth;

/// A runner's process was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Its name; `None` if all runners died in one process.
    pub runner: Option<String>,
    /// When, in hundredths of a second since the machine started.
    pub at: u64,
}

/// From each kill to the next start of each job that the runner was at. Shortest first.
///
/// An attempt counts as killed if it had started before, had not ended by then, and is not recorded as finished.
pub fn recovery(kills: &[Kill], truth: &Truth, builds: &[Build]) -> Vec<Duration> {
    let ran = truth.by_job();
    let mut times = Vec::new();
    for job in builds.iter().flat_map(|build| &build.jobs) {
        let Some(attempts) = ran.get(job.id.as_str()) else { continue };
        for attempt in job.attempts.iter().filter(|attempt| attempt.state != "finished") {
            let Some(this) = attempts.get(&attempt.number) else { continue };
            let Some(start) = this.starts.first() else { continue };
            let next = attempts.range(attempt.number + 1..).find_map(|(_, next)| next.starts.first());
            let of_its_runner = |kill: &&Kill| kill.runner.as_ref().is_none_or(|runner| *runner == attempt.runner);
            let its_end = kills
                .iter()
                .filter(of_its_runner)
                .map(|kill| kill.at)
                .filter(|at| at >= start && this.end.is_none_or(|end| end > *at))
                .min();
            if let (Some(end), Some(next)) = (its_end, next) {
                times.push(Duration::from_millis(next.saturating_sub(end) * 10));
            }
        }
    }
    times.sort_unstable();
    times
}

/// The time within which so many hundredths of `sorted` stay, by nearest rank.
pub fn percentile(sorted: &[Duration], hundredths: usize) -> Option<Duration> {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{Attempt, Job};

    fn attempt(number: u32, runner: &str, state: &str) -> Attempt {
        Attempt { number, runner: runner.into(), state: state.into() }
    }

    #[test]
    fn a_killed_attempt_counts_from_the_kill_of_its_own_runner_to_the_next_start() {
        let text = "start a 1 7 10.00\nstart b 1 8 10.00\nend b 1 8 11.00\nstart a 2 9 12.50\nend a 2 9 13.00\n";
        let jobs = vec![
            Job {
                id: "a".into(),
                attempts: vec![attempt(1, "north", "lost"), attempt(2, "south", "finished")],
                ..Job::default()
            },
            Job { id: "b".into(), attempts: vec![attempt(1, "north", "finished")], ..Job::default() },
        ];
        let builds = [Build { jobs, ..Build::default() }];
        let kill = |runner: Option<&str>, at| Kill { runner: runner.map(str::to_owned), at };
        let kills = [kill(Some("south"), 1100), kill(Some("north"), 1200), kill(Some("north"), 900)];
        assert_eq!(recovery(&kills, &Truth::read(text), &builds), [Duration::from_millis(500)]);
        assert_eq!(recovery(&[kill(None, 1150)], &Truth::read(text), &builds), [Duration::from_secs(1)]);
        assert!(recovery(&[], &Truth::read(text), &builds).is_empty());
    }

    #[test]
    fn percentiles_are_times_that_occurred() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&[], 50), None);
    }
}
