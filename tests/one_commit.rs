//! A pushed commit becomes a verdict, through every station, on both brokers.

use crate::world::{World, on_both_brokers};

on_both_brokers! {
    async fn a_good_commit_becomes_green(carrier) {
        let (world, repository) = World::running(carrier).await;
        let commit = repository.push_job("echo hello from the job");

        assert_eq!(world.verdict(&commit).await, "passed");

        let builds = world.builds(&commit).await;
        let build = &builds[0];
        assert_eq!(build["repository"], "app");
        assert_eq!(build["ref"], "refs/heads/main");
        assert_eq!(build["commit"], commit.as_str());
        assert_eq!(build["jobs"][0]["name"], "test");
        assert_eq!(build["jobs"][0]["attempt"], 1);
        assert!(build["jobs"][0]["runner"].is_string());
        assert!(world.log(&commit).await.contains("hello from the job"));
    }

    async fn a_bad_commit_becomes_red_and_shows_why(carrier) {
        let (world, repository) = World::running(carrier).await;
        let commit = repository.push_job("echo before; exit 3; echo after");

        assert_eq!(world.verdict(&commit).await, "failed");

        let log = world.log(&commit).await;
        assert!(log.contains("before") && !log.contains("\nafter"), "{log}");
        let job = world.builds(&commit).await[0]["jobs"][0]["id"].as_str().expect("an id").to_owned();
        let shown = world.api(&format!("/api/v1/jobs/{job}")).await.expect("the job").to_string();
        assert!(shown.contains('3'), "the exit code is shown: {shown}");
    }

    async fn steps_run_in_order_in_the_commits_own_tree_until_one_fails(carrier) {
        let (world, repository) = World::running(carrier).await;
        repository.write("marker", "one");
        let first = repository.push_job("test \"$(cat marker)\" = one && git rev-parse HEAD");
        assert_eq!(world.verdict(&first).await, "passed");
        assert!(world.log(&first).await.contains(&first), "the job stands on its commit");

        // Nothing of the former job is left, and the tree is the new commit's.
        repository.write("marker", "two");
        let second = repository.push_job("test \"$(cat marker)\" = two && test ! -e litter && touch litter");
        assert_eq!(world.verdict(&second).await, "passed");
        let third = repository.push_job("test ! -e litter; true && false");
        assert_eq!(world.verdict(&third).await, "failed");
    }

    async fn a_hanging_job_is_ended_by_its_time_limit(carrier) {
        let (world, repository) = World::running(carrier).await;
        repository.write(".thump.toml", "[[job]]\nname = \"test\"\nsteps = [\"sleep 600\"]\ntimeout = \"1s\"\n");
        let commit = repository.commit("hangs");
        repository.push();

        assert_eq!(world.verdict(&commit).await, "timed_out");
        // The runner is free again.
        let next = repository.push_job("true");
        assert_eq!(world.verdict(&next).await, "passed");
    }

    async fn a_job_that_needs_another_runs_after_it_and_not_without_it(carrier) {
        let (world, repository) = World::running(carrier).await;
        let order = world.path("order").display().to_string();
        repository.write(".thump.toml", &format!(
            "[[job]]\nname = \"second\"\nneeds = [\"first\"]\nsteps = [\"echo second >> {order}\"]\n\
             [[job]]\nname = \"first\"\nsteps = [\"sleep 0.2; echo first >> {order}\"]\n"));
        let commit = repository.commit("ordered");
        repository.push();
        assert_eq!(world.verdict(&commit).await, "passed");
        assert_eq!(world.lines("order"), ["first", "second"]);

        repository.write(".thump.toml",
            "[[job]]\nname = \"first\"\nsteps = [\"false\"]\n[[job]]\nname = \"second\"\nneeds = [\"first\"]\nsteps = [\"true\"]\n");
        let commit = repository.commit("broken");
        repository.push();
        assert_eq!(world.verdict(&commit).await, "failed");
        let jobs = world.builds(&commit).await[0]["jobs"].clone();
        assert_eq!(jobs[1]["verdict"], "skipped", "{jobs}");
    }
}
