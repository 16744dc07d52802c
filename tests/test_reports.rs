//! What a job's tests said is shown: recorded once, whatever the verdict is and whoever dies.

use serde_json::Value;

use crate::world::{Carrier, Repository, World};

const TESTS: &str = r#"
import unittest

class Calculator(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(1 + 1, 2)

    def test_divides(self):
        self.assertEqual(7 // 2, 4, "<script>alert(1)</script>\x1b[2J")

    @unittest.skip("not today")
    def test_later(self):
        pass
"#;

/// Waits until the tests of the commit's newest job are recorded.
async fn tests_of(world: &World, commit: &str) -> Value {
    world
        .eventually(&format!("the tests of {commit}"), || async {
            let builds = world.builds(commit).await;
            let job = builds.first()?["jobs"].as_array()?.last()?["id"].as_str()?.to_owned();
            let tests = world.api(&format!("/api/v1/jobs/{job}/tests")).await?;
            (!tests["counts"].is_null()).then_some(tests)
        })
        .await
}

fn push_unittest(repository: &Repository) -> String {
    repository.write("tests/test_calculator.py", TESTS);
    repository.push_job("python3 -m unittest discover -v -s tests")
}

async fn is_shown(world: &World, commit: &str) {
    assert_eq!(world.verdict(commit).await, "failed");
    let tests = tests_of(world, commit).await;
    assert_eq!(tests["counts"]["passed"], 1, "{tests}");
    assert_eq!(tests["counts"]["failed"], 1, "{tests}");
    assert_eq!(tests["counts"]["skipped"], 1, "{tests}");
    let failed = &tests["tests"][0];
    assert_eq!(failed["name"], "test_divides");
    assert_eq!(failed["class"], "test_calculator.Calculator");
    assert_eq!(failed["file"], "tests/test_calculator.py", "relative to the checkout");
    assert!(failed["message"].as_str().expect("a message").contains("AssertionError: 3 != 4"), "{failed}");

    let build = &world.builds(commit).await[0];
    assert_eq!(build["tests"]["failed"], 1);
    assert_eq!(build["jobs"][0]["tests"]["failed"], 1);
    let (code, out, err) = world.thump(&["show", commit]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("tests: 1 passed, 1 failed, 1 skipped"), "{out}");
    assert!(
        out.contains("failed  test: test_calculator.Calculator / test_divides  (tests/test_calculator.py:"),
        "{out}"
    );
    assert!(out.contains("AssertionError: 3 != 4") && !out.contains('\u{1b}'), "shown and not obeyed: {out}");

    for page in [format!("/builds/{}", text(&build["id"])), format!("/jobs/{}", text(&build["jobs"][0]["id"]))] {
        let (status, page) = world.get(&page).await;
        assert_eq!(status, 200);
        assert!(page.contains("1 passed, 1 failed, 1 skipped") && page.contains("test_divides"), "{page}");
        let tests = page.split("id=\"tests\"").nth(1).expect("a part about tests");
        let tests = tests.split("</section>").next().expect("its end");
        assert!(tests.contains("AssertionError: 3 != 4"), "{tests}");
        assert!(!tests.contains("<script") && !tests.contains('\u{1b}'), "{tests}");
    }

    let failing = world.api("/api/v1/tests?repository=app&outcome=failed").await.expect("an answer");
    assert_eq!(failing["tests"][0]["name"], "test_divides", "{failing}");
    let history = world.api(&format!("/api/v1/tests/{}", text(&failed["id"]))).await.expect("a history");
    assert_eq!(history["runs"][0]["commit"].as_str(), Some(commit), "{history}");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tests_are_named_with_their_messages_embedded() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let commit = push_unittest(&repository);
    is_shown(&world, &commit).await;
    let (status, _) = world.get("/api/v1/tests?outcome=purple").await;
    assert_eq!(status, 400);
    let (status, _) = world.get("/api/v1/tests/nothing").await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tests_are_named_with_their_messages_over_rabbitmq() {
    let (world, repository) = World::running(Carrier::Rabbit).await;
    let commit = push_unittest(&repository);
    is_shown(&world, &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_file_is_read_also_from_a_job_that_runs_out_of_time() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write(
        "report.xml",
        "<testsuite name='s'><testcase name='good'/><testcase name='bad'><failure message='no'/></testcase></testsuite>",
    );
    repository.write(
        ".thump.toml",
        "[[job]]\nname = \"test\"\ntimeout = \"2s\"\nreports = [\"out/**/*.xml\"]\nsteps = ['''\n\
         mkdir -p out/deep; cp report.xml out/deep/; ln -s ../report.xml out/linked.xml\n\
         echo 'TAP version 13'; echo 'not ok 1 - not asked for'\nsleep 600''']\n",
    );
    let commit = repository.commit("reports");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "timed_out");
    let tests = tests_of(&world, &commit).await;
    let names: Vec<&str> = tests["tests"].as_array().expect("a list").iter().map(|test| text(&test["name"])).collect();
    assert_eq!(names, ["bad", "good"], "{tests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_on_a_retry_is_flaky() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let once = world.path("once").display().to_string();
    let commit = repository.push_job(&format!(
        "echo 'TAP version 13'; echo 1..2; echo 'ok 1 - steady'\n\
         if mkdir '{once}'; then echo 'not ok 2 - wobbles'; exit 1; else echo 'ok 2 - wobbles'; fi"
    ));
    assert_eq!(world.verdict(&commit).await, "failed");
    tests_of(&world, &commit).await;
    let first = text(&world.builds(&commit).await[0]["jobs"][0]["id"]).to_owned();
    let (code, _, err) = world.thump(&["retry", &first]).await;
    assert_eq!(code, 0, "{err}");
    let flaky = world
        .eventually("a flaky test", || async {
            let answer = world.api("/api/v1/tests?repository=app&outcome=flaky").await?;
            answer["tests"].as_array()?.first().cloned()
        })
        .await;
    assert_eq!(flaky["name"], "wobbles");
    let history = world.api(&format!("/api/v1/tests/{}", text(&flaky["id"]))).await.expect("a history");
    let outcomes: Vec<&str> =
        history["runs"].as_array().expect("a list").iter().map(|run| text(&run["outcome"])).collect();
    assert_eq!(outcomes, ["passed", "failed"]);
    let build = &world.builds(&commit).await[0];
    assert_eq!(
        (&build["tests"]["passed"], &build["tests"]["failed"]),
        (&2.into(), &0.into()),
        "the newest job's count"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_in_a_further_attempt_is_flaky_too() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let shell = "echo 'TAP version 13'\nif [ $THUMP_ATTEMPT = 1 ]; then echo 'not ok 1 - wobbles'; exit 1; else echo 'ok 1 - wobbles'; fi";
    repository.write(
        ".thump.toml",
        &format!("[[job]]\nname = \"test\"\nretry = {{ failed = 1 }}\nsteps = ['''\n{shell}''']\n"),
    );
    let commit = repository.commit("wobbles");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "passed");
    let flaky = world
        .eventually("a flaky test", || async {
            let answer = world.api("/api/v1/tests?outcome=flaky").await?;
            answer["tests"].as_array()?.first().cloned()
        })
        .await;
    assert_eq!(flaky["name"], "wobbles");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_survive_the_death_of_dispatcher_and_runner() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let commit =
        repository.push_job(&format!("{}; echo 'TAP version 13'; echo 'not ok 1 - a'; exit 1", world.until("go")));
    world.running_job(&commit).await;
    world.process("dispatcher").kill();
    world.make("go");
    // The runner has the result in its spool, and nobody to record it.
    world.process("runner").says("attempt ended").await;
    let spool = world.path("runner");
    world.eventually("the spooled tests", || async { find(&spool, "result.json").then_some(()) }).await;
    assert!(find(&spool, "tests-0.json"));
    world.process("runner").kill();
    world.start_dispatcher().await;
    world.start_runner("runner");
    assert_eq!(world.verdict(&commit).await, "failed");
    let tests = tests_of(&world, &commit).await;
    assert_eq!((&tests["counts"]["failed"], &tests["attempt"]), (&1.into(), &1.into()), "{tests}");
    // Only then the runner forgets them.
    world.eventually("an empty spool", || async { (!find(&spool, "tests-0.json")).then_some(()) }).await;
}

/// Whether there is a file of this name somewhere below.
fn find(folder: &std::path::Path, name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name() == name || (entry.path().is_dir() && find(&entry.path(), name)))
}
