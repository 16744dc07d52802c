//! Clean-up in any case, the shell that a pipeline chooses, and the limit of silence.

use messages::{Job, Order, Outcome, Step, StepEnd};

use crate::world::{World, lives, pid_in};

fn with_clean_up(world: &World, steps: &[&str], finally: &[&str]) -> Job {
    let mut job = world.job(steps);
    job.spec.finally = finally.iter().map(|run| Step { run: (*run).to_owned() }).collect();
    job
}

#[tokio::test]
async fn clean_up_runs_after_every_end_and_has_no_say_in_it() {
    let world = World::new().await;
    let runner = world.start();
    for (step, expected, word) in [
        ("true", Outcome::Passed, "passed"),
        ("exit 3", Outcome::Failed, "failed"),
        ("sleep 1000", Outcome::TimedOut { silence_seconds: None }, "timed_out"),
    ] {
        let finally = ["echo after: $THUMP_OUTCOME", "exit 9", "echo still"];
        let mut job = with_clean_up(&world, &["echo up >state", step], &finally);
        job.spec.finally[0].run = "cat state; echo after: $THUMP_OUTCOME".into();
        job.spec.timeout_seconds = if word == "timed_out" { 1 } else { 60 };
        world.publish(&job).await;
        let (finished, log) = world.result(&job).await;
        assert_eq!(finished.outcome, expected, "{log}");
        assert_eq!(finished.steps.len(), 2, "clean-up steps are no steps of the job");
        assert!(log.contains(&format!("\nup\nafter: {word}\n")), "{log}");
        assert!(log.contains("thump: clean-up step 2 exited with 9\n") && log.ends_with("\nstill\n"), "{log}");
    }
    runner.drain().await;
}

#[tokio::test]
async fn clean_up_runs_after_a_cancel_and_ends_at_its_own_limit() {
    let world = World::new().await;
    let runner = world.start();
    let pids = tempfile::tempdir().expect("a folder");
    let mut job = with_clean_up(
        &world,
        &["echo begun; sleep 1000"],
        &[
            "echo after: $THUMP_OUTCOME; echo $$ >\"$PIDS/clean\"; trap '' TERM; while :; do sleep 1; done",
            "echo never",
        ],
    );
    job.spec.env.insert("PIDS".into(), pids.path().display().to_string());
    job.spec.finally_timeout_seconds = 1;
    world.publish(&job).await;
    world.until_logged(&job, "\nbegun\n").await;
    world.ledger().orders.insert(job.id, Order::Cancel);
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(log.contains("after: cancelled\n") && log.contains("stopped at the limit of all clean-up"), "{log}");
    assert!(!log.contains("\nnever\n"), "{log}");
    assert!(!lives(pid_in(&pids.path().join("clean")).await));
    runner.drain().await;
}

#[tokio::test]
async fn a_job_that_says_nothing_for_too_long_is_timed_out_and_one_that_talks_is_not() {
    let world = World::new().await;
    let runner = world.start();
    let mut job = world.job(&["echo begun; sleep 1000"]);
    job.spec.silence_seconds = Some(1);
    world.publish(&job).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::TimedOut { silence_seconds: Some(1) });
    assert_eq!(finished.steps[0].end, StepEnd::Stopped);
    assert!(log.ends_with("thump: stopped after 1 s without output\n"), "{log}");

    // Longer in all than the limit, and never silent for as long.
    let mut job = world.job(&["for n in 1 2 3 4 5 6; do echo $n; sleep 0.5; done"]);
    job.spec.silence_seconds = Some(2);
    world.publish(&job).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed, "{log}");
    runner.drain().await;
}

#[tokio::test]
async fn the_pipeline_chooses_the_shell_and_a_missing_one_is_not_the_codes_fault() {
    let world = World::new().await;
    let runner = world.start();
    let mut job = with_clean_up(&world, &["print('from', 'python')"], &["print('clean')"]);
    job.spec.shell = vec!["python3".into(), "-c".into()];
    world.publish(&job).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed, "{log}");
    assert!(log.contains("\nfrom python\n") && log.contains("\nclean\n"), "{log}");

    let mut job = world.job(&["true"]);
    job.spec.shell = vec!["no-such-shell".into()];
    world.publish(&job).await;
    let (finished, log) = world.result(&job).await;
    assert!(matches!(finished.outcome, Outcome::Errored { worth_retrying: true, .. }), "{:?}", finished.outcome);
    assert!(log.contains("no-such-shell"), "{log}");
    runner.drain().await;
}
