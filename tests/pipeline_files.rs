//! What a pipeline file may get wrong, and what happens without one.

use crate::world::{Carrier, World, on_both_brokers};

on_both_brokers! {
    async fn a_typo_makes_the_build_errored_and_shows_line_column_and_a_suggestion(carrier) {
        let (world, repository) = World::running(carrier).await;
        repository.write(".thump.toml", "[[job]]\nname = \"test\"\nstpes = [\"true\"]\n");
        let commit = repository.commit("a typo");
        repository.push();

        assert_eq!(world.verdict(&commit).await, "errored");
        let build = world.builds(&commit).await[0].to_string();
        for part in [":3:1", "stpes", "steps"] {
            assert!(build.contains(part), "{part} in {build}");
        }
        // The next commit is not held up.
        let next = repository.push_job("true");
        assert_eq!(world.verdict(&next).await, "passed");
    }
}

/// The convention of the ancestor: a `tests` folder that Python's unittest runs, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_ancestors_sample_repository_works_unchanged() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write("tests/test_sums.py", "import unittest\n\nclass Sums(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, 2)\n");
    let good = repository.commit("good");
    repository.push();
    assert_eq!(world.verdict(&good).await, "passed");

    repository.write("tests/test_sums.py", "import unittest\n\nclass Sums(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, 3)\n");
    let bad = repository.commit("bad");
    repository.push();
    assert_eq!(world.verdict(&bad).await, "failed");
    assert!(world.log(&bad).await.contains("test_sum"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_makefile_with_a_test_target_is_recognised() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write("Makefile", "test:\n\t@echo made\n");
    let commit = repository.commit("make");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "passed");
    assert!(world.log(&commit).await.contains("made"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_anything_to_run_says_so() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write("README", "nothing here");
    let commit = repository.commit("prose");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "errored");
    let build = world.builds(&commit).await[0].to_string();
    assert!(build.contains(".thump.toml"), "the remedy is named: {build}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_a_link_out_of_the_repository_is_refused() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    std::os::unix::fs::symlink("/etc/passwd", repository.clone_path().join(".thump.toml")).expect("a link");
    let commit = repository.commit("a link");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "errored");
    let build = world.builds(&commit).await[0].to_string();
    assert!(build.contains("link") && !build.contains("root:"), "{build}");
}
