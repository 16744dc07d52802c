//! What becomes of a job.

use messages::{Envelope, ErroredKind, MessageId, Outcome, StepEnd, Work};

use crate::world::{World, commit, job};

fn reason(outcome: &Outcome) -> (ErroredKind, bool) {
    match outcome {
        Outcome::Errored { reason, worth_retrying } => (reason.kind, *worth_retrying),
        other => panic!("not errored but {other:?}"),
    }
}

#[tokio::test]
async fn a_green_job_passes_and_the_log_shows_what_ran() {
    let world = World::new().await;
    let runner = world.start();
    let job = world.queue(&["cat hello.txt", "echo two >&2\necho three"]).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Passed);
    assert_eq!(finished.steps.len(), 2);
    assert_eq!(log, "$ cat hello.txt\nhello\n$ echo two >&2 ...\ntwo\nthree\n");
    runner.drain().await;
    assert_eq!(world.waiting().await, 0, "acked");
}

#[tokio::test]
async fn the_first_red_step_ends_the_job_with_its_exit_code() {
    let world = World::new().await;
    let runner = world.start();
    let job = world.queue(&["true", "false\necho not reached", "echo nor this"]).await;
    let (finished, log) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Failed);
    assert_eq!(finished.steps.last().map(|step| step.end), Some(StepEnd::Exited { code: 1 }));
    assert_eq!(finished.steps.len(), 2);
    assert!(!log.contains("\nnot reached") && !log.contains("nor this"), "{log}");
    let job = world.queue(&["kill -SEGV $$"]).await;
    let (finished, _) = world.result(&job).await;
    assert_eq!(finished.outcome, Outcome::Failed);
    assert_eq!(finished.steps[0].end, StepEnd::Signalled { signal: 11 });
    runner.drain().await;
}

#[tokio::test]
async fn a_job_that_takes_its_own_directory_away_fails_and_the_runner_goes_on() {
    let world = World::new().await;
    let runner = world.start();
    let acts = [
        r#"rm -rf "$THUMP_WORKSPACE""#,
        r#"cd /; rm -rf "$(dirname "$THUMP_WORKSPACE")""#,
        r#"rm -rf "$THUMP_WORKSPACE"; echo x >"$THUMP_WORKSPACE""#,
        r#"rm -rf "$THUMP_WORKSPACE"; ln -s nowhere "$THUMP_WORKSPACE""#,
        r#"mv "$THUMP_WORKSPACE" "$TMPDIR""#,
    ];
    for act in acts {
        let job = world.queue(&[act, "echo not reached"]).await;
        let (finished, log) = world.result(&job).await;
        assert_eq!(finished.outcome, Outcome::Failed, "{act}: {log}");
        assert_eq!(finished.steps.len(), 1, "only the first one started");
        assert!(log.contains("step 2 cannot start") && !log.contains("\nnot reached"), "{log}");
    }
    let job = world.queue(&["cat hello.txt"]).await;
    assert_eq!(world.result(&job).await.0.outcome, Outcome::Passed);
    runner.drain().await;
}

#[tokio::test]
async fn a_step_that_no_process_can_be_given_is_not_tried_again() {
    let world = World::new().await;
    let runner = world.start();
    for step in ["echo \0".to_owned(), format!("echo {}", "x".repeat(200_000))] {
        let job = world.queue(&["true", &step]).await;
        let (finished, log) = world.result(&job).await;
        assert_eq!(reason(&finished.outcome), (ErroredKind::Pipeline, false), "{log}");
    }
    runner.drain().await;
}

#[tokio::test]
async fn each_job_finds_a_fresh_checkout_of_its_own_commit() {
    let world = World::new().await;
    let runner = world.start();
    let (source, first) = world.repository("fresh", &[("a.txt", "one\n")]);
    let second = commit(&git2::Repository::open(&source.url).expect("opens"), &[("a.txt", "two\n")]);
    let steps = |text: &str| Work::Steps { steps: vec![messages::Step { run: text.into() }] };
    let dirty =
        "cat a.txt; git log --oneline | wc -l; echo x >left; mkdir -p d/e; echo x >\"$TMPDIR/left\"; chmod 000 d";
    for (commit, work, expected) in
        [(second, dirty, "two\n2\n"), (first, "cat a.txt; git status --porcelain; ls; ls \"$TMPDIR\"", "one\na.txt\n")]
    {
        let job = job(source.clone(), commit, steps(work));
        world.publish(&job).await;
        let (finished, log) = world.result(&job).await;
        assert_eq!(finished.outcome, Outcome::Passed, "{log}");
        assert!(log.ends_with(&format!("\n{expected}")), "{log}");
    }
    runner.drain().await;
    let work = world.data().join("runner-1/work");
    assert_eq!(std::fs::read_dir(work).expect("reads").count(), 0, "nothing of a job is left");
    assert_eq!(std::fs::read_dir(world.data().join("runner-1/trash")).expect("reads").count(), 0);
}

#[tokio::test]
async fn the_runners_secrets_do_not_reach_the_job() {
    let world = World::new().await;
    let runner = world.start();
    // What the test program itself was given stands for what the runner was given.
    let mut job = world.job(&["env", "cat /proc/$PPID/environ; tr '\\0' '\\n' </proc/$PPID/cmdline"]);
    job.spec.env.insert("THUMP_COMMIT".into(), "faked".into());
    job.spec.env.insert("MINE".into(), "yes".into());
    world.publish(&job).await;
    let (_, log) = world.result(&job).await;
    assert!(log.contains("\nMINE=yes\n") && log.contains("\nCI=true\n") && log.contains("\nTHUMP_BUILD=7\n"), "{log}");
    assert!(log.contains(&format!("\nTHUMP_COMMIT={}\n", job.commit)), "{log}");
    assert!(!log.contains("CARGO_MANIFEST_DIR") && !log.contains("CARGO_PKG"), "{log}");
    assert!(!log.contains("THUMP_BROKER"));
    runner.drain().await;
}

#[tokio::test]
async fn a_commit_that_vanished_is_errored_once_and_the_next_job_runs() {
    let world = World::new().await;
    let runner = world.start();
    let mut gone = world.job(&["true"]);
    gone.commit = "1".repeat(40).parse().expect("is an id");
    world.publish(&gone).await;
    let (finished, log) = world.result(&gone).await;
    assert_eq!(reason(&finished.outcome), (ErroredKind::CommitGone, false));
    assert!(log.contains("force-pushed"), "{log}");

    let mut elsewhere = world.job(&["true"]);
    elsewhere.repository.url = "/nowhere/at/all".into();
    world.publish(&elsewhere).await;
    let (finished, _) = world.result(&elsewhere).await;
    assert_eq!(reason(&finished.outcome), (ErroredKind::Checkout, true));

    let next = world.queue(&["true"]).await;
    assert_eq!(world.result(&next).await.0.outcome, Outcome::Passed);
    runner.drain().await;
}

#[tokio::test]
async fn without_a_pipeline_the_usual_test_command_is_run() {
    let world = World::new().await;
    let runner = world.start();
    // The convention of the small CI that Thump descends from.
    let test = "import unittest\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertTrue(1)\n";
    let (source, tip) = world.repository("ancestor", &[("tests/test_a.py", test), ("README", "x")]);
    let green = job(source, tip, Work::Recognise);
    world.publish(&green).await;
    let (finished, log) = world.result(&green).await;
    assert_eq!(finished.outcome, Outcome::Passed, "{log}");
    assert!(log.starts_with("no .thump.toml; recognised a tests folder: python3 -m unittest"), "{log}");
    assert!(log.contains("Ran 1 test"), "{log}");
    // What the log says of tests follows the result.
    assert_eq!(finished.test_pieces, 1);
    let tests = world.until(|ledger| ledger.tests.first().cloned()).await;
    assert_eq!((tests.job, tests.summary.counts.passed), (green.id, 1));

    let (source, tip) = world.repository("make", &[("Makefile", "test:\n\t@echo made; false\n")]);
    let red = job(source, tip, Work::Recognise);
    world.publish(&red).await;
    let (finished, log) = world.result(&red).await;
    assert_eq!(finished.outcome, Outcome::Failed, "{log}");
    assert!(log.contains("\nmade\n"), "{log}");

    let (source, tip) = world.repository("nothing", &[("README", "x")]);
    let nothing = job(source, tip, Work::Recognise);
    world.publish(&nothing).await;
    let (finished, log) = world.result(&nothing).await;
    assert_eq!(reason(&finished.outcome), (ErroredKind::NothingToRun, false));
    assert!(log.contains("[[job]]"), "the remedy is shown: {log}");
    runner.drain().await;
}

#[tokio::test]
async fn a_dir_outside_the_checkout_is_refused() {
    let world = World::new().await;
    let runner = world.start();
    for (dir, good) in [("sub", true), ("..", false), ("/tmp", false), ("link", false), ("none", false)] {
        let (source, _) = world.repository(&format!("d{}", uuid::Uuid::new_v4().simple()), &[("sub/a", "x")]);
        std::os::unix::fs::symlink("/tmp", std::path::Path::new(&source.url).join("link")).expect("links");
        let repository = git2::Repository::open(&source.url).expect("opens");
        let mut index = repository.index().expect("has an index");
        index.add_path(std::path::Path::new("link")).expect("adds");
        index.write().expect("writes");
        let tip = commit(&repository, &[]);
        let mut job = job(source, tip, Work::Steps { steps: vec![messages::Step { run: "cat a".into() }] });
        job.spec.dir = Some(dir.into());
        world.publish(&job).await;
        let (finished, log) = world.result(&job).await;
        if good {
            assert_eq!(finished.outcome, Outcome::Passed, "{dir}: {log}");
        } else {
            assert_eq!(reason(&finished.outcome), (ErroredKind::Pipeline, false), "{dir}");
        }
    }
    runner.drain().await;
}

#[tokio::test]
async fn a_message_that_is_no_job_is_put_aside_and_the_next_one_runs() {
    let world = World::new().await;
    let bad = Envelope::raw("job", MessageId(uuid::Uuid::new_v4()), b"{\"id\": 7".to_vec()).expect("packs");
    world.publish_raw(bad).await;
    let good = world.queue(&["true"]).await;
    let runner = world.start();
    assert_eq!(world.result(&good).await.0.outcome, Outcome::Passed);
    assert_eq!(world.broker.depth(&broker::Queue::Dead).await.expect("measures").ready, 1);
    runner.drain().await;
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn a_runner_that_cannot_start_a_process_asks_for_no_job_until_it_can() {
    let world = World::new().await;
    let mut settings = world.settings();
    let supervisor = std::mem::replace(&mut settings.supervisor, world.data().join("supervisor"));
    let runner = world.start_with(settings.clone());
    let job = world.queue(&["true"]).await;
    let why = world.until(|ledger| ledger.beats.last()?.trouble.clone()).await;
    assert!(why.contains("start a process"), "{why}");
    assert!(world.ledger().claims.is_empty(), "no attempt was spent on it");
    assert_eq!(world.waiting().await, 1, "it is there for others");

    std::os::unix::fs::symlink(supervisor, &settings.supervisor).expect("it is there now");
    assert_eq!(world.result(&job).await.0.outcome, Outcome::Passed);
    world.until(|ledger| ledger.beats.last()?.trouble.is_none().then_some(())).await;
    runner.drain().await;
}
