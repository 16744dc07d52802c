//! P1: every commit the observer saw becomes exactly one build per repository, ref and commit.

use std::collections::HashSet;

use crate::world::{Carrier, World, on_both_brokers};

on_both_brokers! {
    async fn fifty_commits_pushed_within_a_second_are_all_tested_exactly_once(carrier) {
        let mut world = World::new(carrier).await;
        world.runner_options = vec!["--slots".into(), "4".into()];
        let repository = world.repository("app");
        world.start().await;
        let first = repository.push_job(&world.append("ran", "$THUMP_COMMIT"));
        world.verdict(&first).await;

        let mut commits = vec![first];
        for number in 0..50 {
            repository.write("number", &number.to_string());
            commits.push(repository.commit(&format!("commit {number}")));
        }
        repository.push();

        for commit in &commits {
            assert_eq!(world.verdict(commit).await, "passed");
        }
        let ran = world.lines("ran");
        assert_eq!(ran.len(), commits.len(), "each commit ran once");
        assert_eq!(ran.into_iter().collect::<HashSet<_>>(), commits.into_iter().collect::<HashSet<_>>());
    }

    async fn two_repositories_with_the_same_commit_id_have_a_build_each(carrier) {
        let mut world = World::new(carrier).await;
        let one = world.repository("one");
        let two = world.repository("two");
        world.start().await;
        let commit = one.push_job("true");
        one.git(&["push", "--quiet", &two.path().display().to_string(), "HEAD:refs/heads/main"]);

        let builds = world.eventually("both builds", || async {
            let builds = world.builds(&commit).await;
            (builds.len() == 2 && builds.iter().all(|build| build["state"] == "done")).then_some(builds)
        }).await;
        let names: HashSet<_> = builds.iter().map(|build| build["repository"].as_str().expect("a name").to_owned()).collect();
        assert_eq!(names, HashSet::from(["one".to_owned(), "two".to_owned()]));
    }

    async fn a_rewritten_branch_is_tested_and_stops_nothing(carrier) {
        let (world, repository) = World::running(carrier).await;
        let first = repository.push_job("true");
        let second = repository.push_job("true # again");
        assert_eq!(world.verdict(&second).await, "passed");

        repository.git(&["reset", "--quiet", "--hard", &first]);
        let rewritten = repository.push_forced("true # rewritten");
        assert_eq!(world.verdict(&rewritten).await, "passed");
        // Back to what was there: the old builds are shown, none is made twice.
        repository.git(&["reset", "--quiet", "--hard", &second]);
        repository.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        let next = repository.push_job("true # after all");
        assert_eq!(world.verdict(&next).await, "passed");
        assert_eq!(world.verdict(&second).await, "passed");
    }

    async fn new_branches_are_tested_and_deleted_ones_forgotten(carrier) {
        let (world, repository) = World::running(carrier).await;
        let trunk = repository.push_job("true");
        assert_eq!(world.verdict(&trunk).await, "passed");

        repository.git(&["checkout", "--quiet", "-b", "topic"]);
        let one = repository.commit("one");
        let two = repository.commit("two");
        repository.push();
        for commit in [&one, &two] {
            assert_eq!(world.verdict(commit).await, "passed");
            assert_eq!(world.builds(commit).await[0]["ref"], "refs/heads/topic");
        }
        repository.git(&["push", "--quiet", "origin", "--delete", "topic"]);
        repository.git(&["checkout", "--quiet", "main"]);
        let next = repository.push_job("true # next");
        assert_eq!(world.verdict(&next).await, "passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_repository_does_not_delay_another() {
    let mut world = World::new(Carrier::Embedded).await;
    let broken = world.repository("broken");
    let healthy = world.repository("healthy");
    broken.push_job("true");
    std::fs::write(broken.path().join("HEAD"), "garbage").expect("write");
    for entry in std::fs::read_dir(broken.path().join("objects")).expect("objects").flatten() {
        drop(std::fs::remove_dir_all(entry.path()));
    }
    // It was a repository when Thump was told of it, and broke while nobody looked.
    std::fs::write(broken.path().join("HEAD"), "ref: refs/heads/main\n").expect("write");
    world.start().await;
    let commit = healthy.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
}
