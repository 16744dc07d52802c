//! P6: what ends errored is parked with its evidence, waits for a person, and is run again when they say so.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Carrier, PATIENCE, World, on_both_brokers};

/// By its supervisor's parent a job finds the runner, and kills it.
const KILL_THE_RUNNER: &str = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)";

fn id_of(entry: &Value) -> String {
    entry["id"].as_str().expect("an id").to_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|cause| panic!("{cause}: {text}"))
}

/// The jobs in the parking lot.
async fn parked(world: &World) -> Vec<Value> {
    let (code, out, err) = world.thump(&["dead", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    json(&out)["jobs"].as_array().expect("a list").clone()
}

on_both_brokers! {
    async fn a_job_that_kills_its_runner_three_times_is_parked_with_three_pieces_of_evidence(carrier) {
        let mut world = World::new(carrier).await;
        world.runner_options = vec!["--slots".into(), "1".into()];
        let repository = world.repository("app");
        world.start().await;
        let step = format!("if [ -e '{}' ]; then exit 0; fi; echo about to strike; sleep 0.3; {}; sleep 600", world.path("mild").display(), KILL_THE_RUNNER);
        let commit = repository.push_job(&step);
        let begun = Instant::now();
        // Whoever looks after the machine starts it again each time.
        let name = if carrier == Carrier::Embedded { "up" } else { "runner" };
        while world.builds(&commit).await.first().is_none_or(|build| build["verdict"].is_null()) {
            if world.process(name).has_ended() {
                match carrier {
                    Carrier::Embedded => world.start_up().await,
                    Carrier::Rabbit => world.start_runner(name),
                }
            }
            assert!(begun.elapsed() < PATIENCE, "it goes round for ever");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(world.verdict(&commit).await, "errored");

        let jobs = parked(&world).await;
        assert_eq!(jobs.len(), 1, "{jobs:#?}");
        assert_eq!((&jobs[0]["standing"], &jobs[0]["commit"]), (&"parked".into(), &commit.as_str().into()));
        let id = id_of(&jobs[0]);
        let entry = world.api(&format!("/api/v1/dead/{id}")).await.expect("the entry");
        assert_eq!(entry["reason"]["kind"], "runner_lost");
        assert_eq!(entry["caps"]["runner_lost"], serde_json::json!({"count": 3, "most": 3}));
        let attempts = entry["attempts"].as_array().expect("attempts");
        // A loss of which broker or dispatcher may be the cause is evidence, too, and counts elsewhere.
        let lost: Vec<_> = attempts.iter().filter(|attempt| attempt["cause"] == "runner_lost").collect();
        assert_eq!(lost.len(), 3, "{entry:#}");
        for attempt in lost {
            assert_eq!(attempt["state"], "lost", "{attempt}");
            assert!(attempt["runner"].is_string() && attempt["started_at"].is_string() && attempt["finished_at"].is_string());
            assert!(!attempt["detail"].as_str().expect("words").is_empty());
            assert!(attempt["counts_towards"].to_string().contains("3 attempts lost with their runner"), "{attempt}");
        }
        let (code, out, err) = world.thump(&["dead", "show", &id]).await;
        assert!(code == 0 && out.matches("counted towards: 3 attempts lost").count() == 3, "{out}{err}");
        let (_, page) = world.get(&format!("/dead/{id}")).await;
        assert!(page.contains("runner lost 3 times") && page.contains("Evidence"), "{page}");
        assert!(world.get("/dead").await.1.contains(&id));

        world.make("mild");
        let (code, out, err) = world.thump(&["dead", "replay", &id]).await;
        assert!(code == 0 && out.contains("run again as"), "{out}{err}");
        world.eventually("the second verdict", || async {
            (world.builds(&commit).await[0]["verdict"] == "passed").then_some(())
        }).await;
        assert!(parked(&world).await.is_empty());
    }

    async fn the_last_lines_of_each_attempt_are_shown_as_text_and_a_replay_runs_once(carrier) {
        let (world, repository) = World::running(carrier).await;
        // The supervisor's death is nobody's verdict, so it is tried three times.
        let step = format!(
            "if [ -e '{}' ]; then exit 0; fi; printf '<b>last</b> \\033[2J words\\n'; {}; kill -9 $PPID; sleep 600",
            world.path("mild").display(),
            "sleep 0.2"
        );
        let commit = repository.push_job(&step);
        assert_eq!(world.verdict(&commit).await, "errored");
        let id = id_of(&parked(&world).await[0]);
        let entry = world.eventually("the logs", || async {
            let entry = world.api(&format!("/api/v1/dead/{id}")).await?;
            let whole = entry["attempts"].as_array()?.iter().all(|one| one["last_lines"].to_string().contains("last"));
            whole.then_some(entry)
        }).await;
        let attempts = entry["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 3, "{entry:#}");
        assert!(attempts.iter().all(|one| one["cause"] == "errored"), "{entry:#}");
        let (_, page) = world.get(&format!("/dead/{id}")).await;
        assert!(page.contains("&#60;b&#62;last") && !page.contains("<b>last") && !page.contains('\u{1b}'), "{page}");
        let (_, out, _) = world.thump(&["dead", "show", &id]).await;
        assert!(out.contains("| <b>last</b>") && !out.contains('\u{1b}'), "{out}");

        world.make("mild");
        let (code, out, _) = world.thump(&["dead", "replay", &id, &id, "--json"]).await;
        let answer = json(&out);
        assert_eq!(code, 1, "the second time is refused: {out}");
        assert_eq!(answer["done"].as_array().map(Vec::len), Some(1), "{out}");
        let again = answer["done"][0]["run_again_as"].as_str().expect("a job").to_owned();
        assert!(answer["problems"][0]["problem"].as_str().expect("words").contains(&again), "{out}");
        world.eventually("the second verdict", || async {
            (world.builds(&commit).await[0]["verdict"] == "passed").then_some(())
        }).await;
        let entry = world.api(&format!("/api/v1/dead/{id}")).await.expect("still in history");
        assert_eq!((&entry["standing"], &entry["orders"][0]["action"]), (&"run_again".into(), &"replay_job".into()));
        let new = world.api(&format!("/api/v1/jobs/{again}")).await.expect("the new job");
        assert_eq!(new["retry_of"], id.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_job_is_off_the_list_and_mistakes_are_told_with_their_remedy() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let (code, out, _) = world.thump(&["dead"]).await;
    assert!(code == 0 && out.contains("nothing is parked"), "{out}");
    // No pipeline, and nothing that looks like a test.
    repository.write("notes.txt", "nothing to run");
    let commit = repository.commit("only notes");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "errored");
    let id = id_of(&parked(&world).await[0]);

    let nobody = "01900000-0000-7000-8000-000000000000";
    let (code, _, err) = world.thump(&["dead", "replay", nobody]).await;
    assert!(code == 3 && err.contains(nobody) && err.contains("thump dead"), "{err}");
    let (code, _, err) = world.thump(&["dead", "show", "../builds"]).await;
    assert!(code == 3 && err.contains("thump dead"), "{err}");
    let (code, ..) = world.thump(&["dead", "replay"]).await;
    assert_eq!(code, 2);
    let (code, out, err) = world.thump(&["dead", "discard", &id]).await;
    assert!(code == 0 && out.contains("discarded"), "{out}{err}");
    let (code, _, err) = world.thump(&["dead", "discard", &id, nobody]).await;
    assert!(code == 1 && err.contains("discarded already") && err.contains(nobody), "{err}");
    assert!(parked(&world).await.is_empty());
    let entry = world.api(&format!("/api/v1/dead/{id}")).await.expect("in history");
    assert_eq!((&entry["standing"], &entry["orders"][0]["action"]), (&"discarded".into(), &"discard_job".into()));
    let green = repository.push_job("true");
    assert_eq!(world.verdict(&green).await, "passed");
    let job = world.builds(&green).await[0]["jobs"][0]["id"].as_str().expect("an id").to_owned();
    let (code, _, err) = world.thump(&["dead", "replay", &job]).await;
    assert!(code == 1 && err.contains("thump retry"), "{err}");
}
