//! What a pipeline says is what happens: matrices and needs between their members.

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
