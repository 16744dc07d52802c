//! What a pipeline says is what happens: matrices, needs between their members, conditions, allowed failures and further
//! attempts.

use serde_json::Value;

use crate::world::{Carrier, World};

/// The verdict of each job of the commit's only build, by name.
async fn verdicts(world: &World, commit: &str) -> Vec<(String, String)> {
    let build = world.done(commit).await.remove(0);
    let word = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let jobs = build["jobs"].as_array().expect("jobs");
    jobs.iter().map(|job| (word(&job["name"]), word(&job["verdict"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, verdict)| ((*name).to_owned(), (*verdict).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_of_a_matrix_runs_with_its_values_and_holds_up_only_those_who_need_it() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let file = format!(
        r#"
        [[job]]
        name = "test"
        steps = ['''{}''', '''test "$OS" = linux''']
        matrix = {{ OS = ["linux", "mac $HOME"] }}
        [[job]]
        name = "after linux"
        needs = ["test (linux)"]
        steps = ["true"]
        [[job]]
        name = "after all"
        needs = ["test"]
        steps = ["true"]
        "#,
        world.append("ran", "$OS")
    );
    repository.write(".thump.toml", &file);
    let commit = repository.commit("a matrix");
    repository.push();
    assert_eq!(
        verdicts(&world, &commit).await,
        pairs(&[
            ("test (linux)", "passed"),
            ("test (mac $HOME)", "failed"),
            ("after linux", "passed"),
            ("after all", "skipped")
        ])
    );
    let mut ran = world.lines("ran");
    ran.sort();
    assert_eq!(ran, ["linux", "mac $HOME"]);
    let (code, said, _) =
        world.thump(&["check", &repository.clone_path().join(".thump.toml").display().to_string()]).await;
    assert_eq!(code, 0);
    assert!(said.contains("4 jobs (test (linux), test (mac $HOME), after linux, after all)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_condition_leaves_out_says_why_and_those_who_need_it_go_on() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write(
        ".thump.toml",
        r#"
        [[job]]
        name = "docs"
        steps = ["true"]
        when = { path = ["docs/**"] }
        [[job]]
        name = "release"
        steps = ["true"]
        when = { branch = ["release/*"] }
        [[job]]
        name = "after"
        needs = ["docs", "release"]
        steps = ["true"]
        "#,
    );
    let first = repository.commit("a filter");
    repository.push();
    let skipped = pairs(&[("docs", "skipped"), ("release", "skipped"), ("after", "passed")]);
    assert_eq!(verdicts(&world, &first).await, skipped);

    repository.write("src/a.txt", "1");
    let code = repository.commit("code");
    repository.push();
    assert_eq!(verdicts(&world, &code).await, skipped);
    let build = world.builds(&code).await.remove(0);
    assert_eq!(build["verdict"], "passed");
    assert_eq!(build["jobs"][0]["skipped"]["reason"], "filtered");
    assert_eq!(build["jobs"][0]["skipped"]["detail"], "none of the 1 changed paths matches when.path");
    let (_, page) = world.get(&format!("/builds/{}", build["id"].as_str().expect("an id"))).await;
    assert!(page.contains("filtered: the branch"), "{page}");
    let (_, shown, _) = world.thump(&["show", &code]).await;
    assert!(shown.contains("does not match when.branch"), "{shown}");

    repository.write("docs/a.txt", "1");
    let docs = repository.commit("docs");
    repository.push();
    assert_eq!(
        verdicts(&world, &docs).await,
        pairs(&[("docs", "passed"), ("release", "skipped"), ("after", "passed")])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_job_passes_at_its_next_attempt_and_an_allowed_failure_stays_visible() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let file = format!(
        r#"
        [[job]]
        name = "flaky"
        steps = ['{}', 'test $THUMP_ATTEMPT -eq 2']
        retry = {{ failed = 2 }}
        [[job]]
        name = "shaky"
        steps = ["exit 7"]
        allow_failure = true
        [[job]]
        name = "after"
        needs = ["flaky", "shaky"]
        steps = ["true"]
        "#,
        world.append("ran", "$THUMP_ATTEMPT").replace('\'', "")
    );
    repository.write(".thump.toml", &file);
    let commit = repository.commit("flaky");
    repository.push();
    assert_eq!(
        verdicts(&world, &commit).await,
        pairs(&[("flaky", "passed"), ("shaky", "failed"), ("after", "passed")])
    );
    assert_eq!(world.lines("ran"), ["1", "2"], "no attempt more than it took");
    let build = world.builds(&commit).await.remove(0);
    assert_eq!(build["verdict"], "passed");
    assert_eq!(build["jobs"][1]["allow_failure"], true);
    let flaky = world.api(&format!("/api/v1/jobs/{}", build["jobs"][0]["id"].as_str().expect("an id"))).await;
    let attempts = flaky.expect("a job")["attempts"].clone();
    assert_eq!(attempts[0]["detail"], "step 2 exited with 1");
    assert_eq!(attempts[1]["detail"], "passed");
    let (_, page) = world.get(&format!("/builds/{}", build["id"].as_str().expect("an id"))).await;
    assert!(page.contains("its failure is allowed"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_job_is_ended_says_so_and_is_cleaned_up_after() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let file = format!(
        "[[job]]\nname = \"quiet\"\nsteps = [\"sleep 1000\"]\nsilence = \"1s\"\nfinally = ['''{}''']\n\
         shell = [\"/bin/bash\", \"-ec\"]\n",
        world.append("cleaned", "$THUMP_OUTCOME ${BASH_VERSION:0:0}$THUMP_ATTEMPT")
    );
    repository.write(".thump.toml", &file);
    let commit = repository.commit("quiet");
    repository.push();
    assert_eq!(verdicts(&world, &commit).await, pairs(&[("quiet", "timed_out")]));
    assert_eq!(world.lines("cleaned"), ["timed_out 1"]);
    let build = world.builds(&commit).await.remove(0);
    let job = world.api(&format!("/api/v1/jobs/{}", build["jobs"][0]["id"].as_str().expect("an id"))).await;
    let detail = job.expect("a job")["attempts"][0]["detail"].clone();
    assert_eq!(detail, "step 1 was stopped after 1 s without output");
}
