//! What a process costs, as the system counts it: a fault must not make one spin or grow.

use std::time::{Duration, Instant};

/// Linux counts a process's time in hundredths of a second (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process that is its own and in use, in KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux 4.5 or newer");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// How many descriptors it has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").count()
}

/// Processor time that it used so far.
fn busy(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // The name may hold anything but ends with the last parenthesis; user and system time are 14th and 15th.
    let rest = stat.rsplit_once(')').expect("a name").1;
    let numbers: Vec<f64> = rest.split_whitespace().skip(11).take(2).map(|n| n.parse().expect("a number")).collect();
    numbers.iter().sum::<f64>() / TICKS_PER_SECOND
}

/// Lets time pass and asserts that none of these processes takes a fifth of a processor meanwhile.
pub(crate) async fn none_spins(pids: &[(String, u32)], time: Duration) {
    let before: Vec<f64> = pids.iter().map(|(_, pid)| busy(*pid)).collect();
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    for ((name, pid), before) in pids.iter().zip(before) {
        let share = (busy(*pid) - before) / begun.elapsed().as_secs_f64();
        assert!(share < 0.2, "{name} takes {:.0} % of a processor while it can do nothing", share * 100.0);
    }
}

/// Tells a measured figure to whoever runs the story by hand.
#[expect(clippy::print_stderr, reason = "shown by --nocapture")]
pub(crate) fn note(figure: &str) {
    eprintln!("{figure}");
}
