//! A process that is killed in the middle of its writes leaves whole transactions and a free leadership.
//!
//! The child is this test binary itself, started with one variable that makes the story below the writer.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use messages::Outcome;
use store::{ClaimDecision, Ledger};
use tempfile::TempDir;

use super::fixture::{Held, build, life_of, open_in, question, report_of};
use super::invariants::{check, count};

/// Set for the child: the folder of the ledger.
const FOLDER: &str = "THUMP_STORY_OF_A_CRASH";
const STORY: &str = "stories::crash::a_killed_writer_leaves_whole_transactions_and_a_free_leadership";

#[tokio::test]
async fn a_killed_writer_leaves_whole_transactions_and_a_free_leadership() {
    if let Some(folder) = env::var_os(FOLDER) {
        write_until_killed(PathBuf::from(folder)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..6_usize {
        let recorded = kill_after(&folder, 20 + round * 25);
        let ledger = open_in(&folder).await;
        let epoch = ledger.lead("successor").await.expect("asked").expect("the dead hold nothing");
        check(&folder.path().join("ledger.db")).await;
        let file = folder.path().join("ledger.db");
        // What was answered as recorded is there; what was not may be, whole.
        assert!(count(&file, "SELECT count(*) FROM builds").await >= recorded, "round {round}");
        let halves = "SELECT count(*) FROM builds b WHERE (SELECT count(*) FROM jobs j WHERE j.build = b.id) <> 2";
        assert_eq!(count(&file, halves).await, 0, "round {round}");
        ledger.resign(epoch).await.expect("resigned");
    }
}

/// Starts a writer, waits for so many lines of it, kills it, and returns the last count that it said.
fn kill_after(folder: &TempDir, lines: usize) -> i64 {
    let mut child = Command::new(env::current_exe().expect("a name"))
        .args([STORY, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut last = 0;
    let mut note = |line: &str| {
        if let Some(said) = line.trim().strip_prefix("recorded ") {
            last = said.parse().expect("a number");
        }
    };
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        assert!(output.read_line(&mut line).expect("it speaks") > 0, "the writer ended by itself");
        note(&line);
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("it has ended");
    // A last line without its end was cut by the kill.
    rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).for_each(note);
    last
}

/// Commits, claims and reports as fast as it can; says how many builds were recorded.
async fn write_until_killed(folder: PathBuf) -> ! {
    let url = format!("sqlite:{}", folder.join("ledger.db").display());
    let ledger = Ledger::open(&url, &folder).await.expect("opens");
    let epoch = ledger.lead("doomed").await.expect("asked").expect("nobody leads");
    let file = folder.join("ledger.db");
    let mut number = count(&file, "SELECT count(*) FROM builds").await.unsigned_abs();
    loop {
        let builds = (0..3).map(|more| build(number + more, &[("test", &[]), ("ship", &[0])])).collect();
        ledger.record_builds(epoch, builds).await.expect("recorded");
        number += 3;
        say(number);
        let jobs = ledger.unpublished(&messages::PoolName::default(), 2).await.expect("read");
        let jobs: Vec<_> = jobs.into_iter().map(|unpublished| unpublished.job.id).collect();
        let claims = jobs.iter().map(|job| question(*job, "north", 1)).collect();
        let answers = ledger.claim(epoch, claims).await.expect("answered");
        let mut reports = Vec::new();
        for (job, answer) in jobs.into_iter().zip(answers) {
            let ClaimDecision::Run { attempt, token, .. } = answer else { continue };
            let (runner, incarnation) = ("north".parse().expect("a name"), life_of("north", 1));
            reports.push(report_of(&Held { job, attempt, token, runner, incarnation }, Outcome::Passed));
        }
        ledger.finish(epoch, reports).await.expect("recorded");
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the parent reads it; the leading line break parts it from the test runner's own words"
)]
fn say(recorded: u64) {
    println!("\nrecorded {recorded}");
}
