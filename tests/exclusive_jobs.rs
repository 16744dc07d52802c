//! P5: a job marked `exclusive` never overlaps with its successor, and waits for nobody who could be told.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{Carrier, Repository, World, lines_in};

/// A machine with runner `north`, which runs an exclusive job that writes down all the time that it lives. It
/// ends when the story says so.
async fn exclusive() -> (World, Repository, String) {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    world.start_runner("north");
    let lives = world.append("lives", "$THUMP_ATTEMPT");
    let step = format!("until [ -e '{}' ]; do {lives}; sleep 0.05; done", world.path("go").display());
    let pipeline = format!("[[job]]\nname = \"deploy\"\nexclusive = true\nsteps = [\"\"\"{step}\"\"\"]\n");
    repository.write(".thump.toml", &pipeline);
    let commit = repository.commit("deploy");
    repository.push();
    world.running_job(&commit).await;
    lines_in(&world.path("lives"), 1).await;
    (world, repository, commit)
}

/// Waits for the second attempt, ends it, and checks by the job's own word that the first one never lived beside it.
async fn second_attempt_is_alone(world: &World, commit: &str) -> Value {
    world
        .eventually("the second attempt", || async { world.lines("lives").contains(&"2".to_owned()).then_some(()) })
        .await;
    // Were the first one alive, it would write twenty lines in this time.
    let so_far = world.lines("lives").len();
    lines_in(&world.path("lives"), so_far + 20).await;
    world.make("go");
    assert_eq!(world.verdict(commit).await, "passed");
    let lives = world.lines("lives");
    let second = lives.iter().position(|line| line == "2").expect("it lived");
    assert!(lives[second..].iter().all(|line| line == "2"), "the first attempt lived beside the second: {lives:?}");
    let job = world.builds(commit).await[0]["jobs"][0]["id"].as_str().expect("a job").to_owned();
    world.api(&format!("/api/v1/jobs/{job}")).await.expect("the job")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_runners_exclusive_job_is_dead_before_another_runner_starts_it() {
    let (mut world, _repository, commit) = exclusive().await;
    world.start_runner("south");
    // The runner cannot do anything any more, and its job does not notice.
    world.process("north").signal(Signal::STOP);
    second_attempt_is_alone(&world, &commit).await;
    world.process("north").signal(Signal::CONT);
    world.process("north").says("cut_off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runners_exclusive_job_is_not_taken_over_before_its_lease_ends() {
    let (mut world, _repository, commit) = exclusive().await;
    world.start_runner("south");
    world
        .eventually("two runners", || async {
            let runners = world.api("/api/v1/runners").await?;
            (runners["runners"].as_array()?.len() == 2).then_some(())
        })
        .await;
    world.process("north").kill();
    let job = second_attempt_is_alone(&world, &commit).await;
    let lost = job["attempts"][0]["detail"].as_str().expect("a detail");
    assert!(lost.contains("whole lease"), "nothing but the end of the lease made room: {lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_job_that_no_dispatcher_answers_for_is_killed_says_so_and_is_tried_again() {
    let (mut world, _repository, commit) = exclusive().await;
    world.process("dispatcher").signal(Signal::STOP);
    let frozen = Instant::now();
    world.process("north").says("cut_off").await;
    let waited = frozen.elapsed();
    assert!(waited.as_secs_f64() > 6.5, "a beat of the last 5 s was answered, and 12 s are its due: {waited:?}");
    world.process("dispatcher").signal(Signal::CONT);

    let job = second_attempt_is_alone(&world, &commit).await;
    let first = &job["attempts"][0];
    assert!(first["detail"].as_str().expect("a detail").contains("an exclusive job must have ended"), "{first}");
}
