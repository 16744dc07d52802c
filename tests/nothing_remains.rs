//! P8: when a job has ended, no process and no file of it remains, whatever it did.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::world::{World, on_both_brokers};

/// How long after the verdict something of a job may be left.
const LIMIT: Duration = Duration::from_secs(2);

/// Processes that carry this job in their environment.
fn processes_of(job: &str) -> Vec<String> {
    let mark = format!("THUMP_JOB={job}");
    let entries = std::fs::read_dir("/proc").expect("processes");
    entries
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|line| line == mark.as_bytes()))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

on_both_brokers! {
    async fn what_a_job_leaves_behind_is_gone_two_seconds_after_its_verdict(carrier) {
        let (world, repository) = World::running(carrier).await;
        let places = world.append("places", "$THUMP_WORKSPACE") + "; " + &world.append("places", "$TMPDIR");
        // One in a session of its own, one that no SIGTERM ends, one whose parent has gone; and files everywhere.
        let mischief = "setsid sleep 1000 & (trap '' TERM; while :; do sleep 1; done) & (sleep 1000 &) ; \
                        mkdir -p deep/er; chmod 500 deep; touch $TMPDIR/left; mkfifo pipe; ln -s / root";
        let commit = repository.push_job(&format!("{places}; {mischief}"));
        assert_eq!(world.verdict(&commit).await, "passed");

        let ended = Instant::now();
        let job = world.builds(&commit).await[0]["jobs"][0]["id"].as_str().expect("a job").to_owned();
        let places = world.lines("places");
        assert_eq!(places.len(), 2, "{places:?}");
        loop {
            let processes = processes_of(&job);
            let files: Vec<&String> = places.iter().filter(|place| Path::new(place).exists()).collect();
            if processes.is_empty() && files.is_empty() {
                break;
            }
            assert!(ended.elapsed() < LIMIT, "left after {LIMIT:?}: processes {processes:?}, files {files:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
