//! What tests said is recorded once, for the current attempt only, and each test has a history.

use messages::{MAX_CASES_IN_PIECE, Outcome, TestCase, TestCounts, TestOutcome, TestResults, TestSummary};
use store::{LossCause, Recording, TestFilter, TestKind};

use super::fixture::{Held, World, fresh_token, seen};

fn case(name: &str, outcome: TestOutcome) -> TestCase {
    TestCase {
        suite: "s".into(),
        class: "c".into(),
        name: name.into(),
        outcome,
        duration_ms: Some(5),
        message: outcome.is_bad().then(|| format!("{name} fell")),
        file: None,
        line: None,
    }
}

fn results(held: &Held, cases: Vec<TestCase>) -> TestResults {
    let mut counts = TestCounts::default();
    cases.iter().for_each(|case| *counts.of_mut(case.outcome) += 1);
    TestResults {
        job: held.job,
        attempt: held.attempt,
        token: held.token.clone(),
        piece: 0,
        pieces: 1,
        summary: TestSummary { counts, cut: 0, notes: Vec::new() },
        cases,
    }
}

async fn record(world: &World, results: TestResults) -> Recording {
    world.ledger.record_tests(world.epoch, results).await.expect("the ledger works")
}

/// A commit with one job that runs these tests to this outcome.
async fn run(world: &World, commit: u64, cases: Vec<TestCase>) -> Held {
    let build = world.push(commit, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    world.report(&held, Outcome::Failed).await;
    assert_eq!(record(world, results(&held, cases)).await, Recording::Recorded);
    held
}

async fn names(world: &World, kind: TestKind) -> Vec<String> {
    let filter = TestFilter { kind: Some(kind), limit: 100, ..TestFilter::default() };
    world.ledger.tests(filter).await.expect("read").into_iter().map(|test| test.name).collect()
}

#[tokio::test]
async fn pieces_are_recorded_once_whatever_comes_again() {
    let world = World::start().await;
    let cases = vec![case("good", TestOutcome::Passed), case("bad", TestOutcome::Failed)];
    let held = run(&world, 1, cases.clone()).await;
    assert_eq!(record(&world, results(&held, cases.clone())).await, Recording::Again);

    let tests = world.ledger.job_tests(held.job).await.expect("read").expect("there are some");
    assert_eq!((tests.attempt, tests.summary.counts.passed, tests.summary.counts.failed), (held.attempt, 1, 1));
    assert_eq!(tests.cases, [cases[1].clone(), cases[0].clone()], "the red one first");
    let job = world.ledger.job(held.job).await.expect("read").expect("there");
    assert_eq!(job.tests.map(|counts| counts.total()), Some(2));
    let of_build = world.ledger.build_tests(job.build).await.expect("read");
    assert_eq!(of_build[0].cases, [cases[1].clone()], "of a build only what needs a look");
    let id = store::test_id("sample", "test", "s", "c", "bad");
    let (_, runs) = world.ledger.test(&id).await.expect("read").expect("it has a history");
    assert_eq!(runs.len(), 1, "what came twice counts once");
}

#[tokio::test]
async fn only_the_current_attempt_may_speak() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let lost = world.claim(world.job(build, "test").await.id, "north").await;
    let mut forged = results(&lost, vec![case("a", TestOutcome::Passed)]);
    forged.token = fresh_token();
    assert_eq!(record(&world, forged).await, Recording::Stale);
    world.lose(&lost, LossCause::RunnerLost).await;
    let late = results(&lost, vec![case("a", TestOutcome::Failed)]);
    assert_eq!(record(&world, late.clone()).await, Recording::Stale);
    let held = world.claim(lost.job, "south").await;
    assert_eq!(record(&world, late).await, Recording::Stale);
    assert_eq!(record(&world, results(&held, vec![case("a", TestOutcome::Passed)])).await, Recording::Recorded);
    assert_eq!(names(&world, TestKind::Failed).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_runner_did_not_cut_is_not_believed() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(build, "test").await.id, "north").await;
    let many = (0..=MAX_CASES_IN_PIECE).map(|number| case(&number.to_string(), TestOutcome::Passed)).collect();
    assert_eq!(record(&world, results(&held, many)).await, Recording::Unknown);
    let long = results(&held, vec![case(&"n".repeat(501), TestOutcome::Passed)]);
    assert_eq!(record(&world, long).await, Recording::Unknown);
    let mut beyond = results(&held, vec![case("a", TestOutcome::Passed)]);
    beyond.piece = 1;
    assert_eq!(record(&world, beyond).await, Recording::Unknown);
    assert!(world.ledger.job_tests(held.job).await.expect("read").is_none());
}

#[tokio::test]
async fn a_test_fails_since_its_first_red_run_and_is_slow_by_most_of_its_runs() {
    let world = World::start().await;
    let slow = |ms: u64| TestCase { duration_ms: Some(ms), ..case("slow", TestOutcome::Passed) };
    run(&world, 1, vec![case("a", TestOutcome::Passed), slow(2_000)]).await;
    run(&world, 2, vec![case("a", TestOutcome::Failed), slow(3_000)]).await;
    let first = since(&world).await.expect("it fails");
    run(&world, 3, vec![case("a", TestOutcome::Errored), slow(1_500)]).await;
    run(&world, 4, vec![case("a", TestOutcome::Skipped)]).await;
    assert_eq!(since(&world).await, Some(first), "since the first red run, and not run is no news");
    assert_eq!(names(&world, TestKind::Failed).await, ["a"]);
    assert_eq!(names(&world, TestKind::Slow).await, ["slow"]);
    run(&world, 5, vec![case("a", TestOutcome::Passed)]).await;
    assert_eq!(since(&world).await, None);
    assert_eq!(names(&world, TestKind::Flaky).await, Vec::<String>::new(), "other commits, other outcomes");
}

async fn since(world: &World) -> Option<jiff::Timestamp> {
    let filter = TestFilter { name: Some("a".into()), limit: 1, ..TestFilter::default() };
    world.ledger.tests(filter).await.expect("read").remove(0).failing_since
}

#[tokio::test]
async fn red_and_then_green_by_a_retry_is_flaky() {
    let world = World::start().await;
    let held = run(&world, 1, vec![case("a", TestOutcome::Failed), case("b", TestOutcome::Failed)]).await;
    let again = world.ledger.retry_job(held.job, "a person").await.expect("works").expect("a new job");
    let held = world.claim(again, "south").await;
    let cases = vec![case("a", TestOutcome::Passed), case("b", TestOutcome::Failed)];
    assert_eq!(record(&world, results(&held, cases)).await, Recording::Recorded);
    assert_eq!(names(&world, TestKind::Flaky).await, ["a"]);
    assert_eq!(names(&world, TestKind::Failed).await, ["b"]);

    let build = world.ledger.job(again).await.expect("read").expect("there").build;
    let tests = world.ledger.build_tests(build).await.expect("read");
    assert_eq!(tests.len(), 1, "the job that was run again is left out");
    assert_eq!(tests[0].job, again);
    let (_, runs) =
        world.ledger.test(&store::test_id("sample", "test", "s", "c", "a")).await.expect("read").expect("there");
    let told: Vec<(TestOutcome, bool)> = runs.iter().map(|run| (run.outcome, run.flaky)).collect();
    assert_eq!(told, [(TestOutcome::Passed, true), (TestOutcome::Failed, false)]);
    assert_eq!(runs[0].commit.to_string(), seen(1).commit.to_string());
}

#[tokio::test]
async fn old_reports_let_their_green_ones_go_and_keep_the_red() {
    let world = World::start().await;
    let cases = || vec![case("good", TestOutcome::Passed), case("bad", TestOutcome::Failed)];
    let first = run(&world, 1, cases()).await;
    for commit in 2..=200 {
        run(&world, commit, cases()).await;
    }
    let names = |tests: store::JobTests| tests.cases.into_iter().map(|case| case.name).collect::<Vec<_>>();
    let tests = world.ledger.job_tests(first.job).await.expect("read").expect("there");
    assert_eq!(names(tests), ["bad", "good"]);
    run(&world, 201, cases()).await;
    let tests = world.ledger.job_tests(first.job).await.expect("read").expect("there");
    assert_eq!(tests.summary.counts.total(), 2, "the counts stay");
    assert_eq!(names(tests), ["bad"]);
}
