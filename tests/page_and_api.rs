//! What people and scripts see of all this: page, API and client commands.

use crate::world::{Carrier, World, on_both_brokers};

on_both_brokers! {
    async fn the_api_tells_queues_and_runners_while_a_job_runs(carrier) {
        let (world, repository) = World::running(carrier).await;
        let commit = repository.push_job(&world.until("go"));
        let job = world.running_job(&commit).await;

        let runners = world.eventually("the runner's attempt", || async {
            let runners = world.api("/api/v1/runners").await?;
            let holds = runners["runners"][0]["attempts"][0]["job"] == job["id"];
            holds.then_some(runners)
        }).await;
        let runner = &runners["runners"][0];
        assert_eq!(runner["name"], job["runner"]);
        assert_eq!(runner["slots"], 2);
        assert_eq!(runner["state"], "busy");
        assert!(runner["attempts"][0]["since"].is_string() && runner["last_seen"].is_string(), "{runner}");

        let queues = world.api("/api/v1/queues").await.expect("queues");
        let pool = queues["queues"].as_array().expect("a list").iter().find(|queue| queue["pool"] == "default").expect("the pool").clone();
        assert_eq!((&pool["running"], &pool["queued"]), (&1.into(), &0.into()), "{pool}");
        world.make("go");
        assert_eq!(world.verdict(&commit).await, "passed");
    }

    async fn the_page_shows_the_verdict_and_hostile_text_only_as_text(carrier) {
        let (world, repository) = World::running(carrier).await;
        repository.write(".thump.toml", &crate::world::repository::pipeline(&["echo '<script>alert(1)</script>'"]));
        let commit = repository.commit("<script>alert(2)</script> \u{202e}dlrow");
        repository.push();
        assert_eq!(world.verdict(&commit).await, "passed");

        let build = world.builds(&commit).await[0].clone();
        let job = build["jobs"][0]["id"].as_str().expect("an id");
        let pages = ["/".to_owned(), format!("/builds/{}", build["id"].as_str().expect("an id")), format!("/jobs/{job}"), "/queues".into(), "/runners".into()];
        for page in pages {
            let (status, html) = world.get(&page).await;
            assert_eq!(status, 200, "{page}");
            assert!(!html.contains("<script>alert"), "{page}");
            assert!(!html.contains('\u{202e}'), "{page}");
        }
        let (_, home) = world.get("/").await;
        assert!(home.contains(&commit[..10]) && home.contains("passed"), "{home}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_question_is_answered_in_the_same_form() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
    let job = world.builds(&commit).await[0]["jobs"][0]["id"].as_str().expect("an id").to_owned();
    let client = reqwest::Client::new();
    let at = |path: &str| format!("{}{path}", world.server());
    let wrong = [
        (client.get(at("/api/v1/builds?limit=many")), 400, "limit"),
        (client.get(at("/api/v1/builds?commit=xyz")), 400, "commit"),
        (client.get(at(&format!("/api/v1/jobs/{job}/log?attempt=-1"))), 400, "attempt"),
        (client.get(at("/api/v1/builds/%ff")), 400, "address"),
        (client.get(at("/api/v1/builds/nobody")), 404, "build"),
        (client.get(at("/no/such/page")), 404, "page"),
        (client.delete(at("/api/v1/builds")).header("content-type", "application/json"), 405, "method"),
    ];
    for (request, status, says) in wrong {
        let answer = request.send().await.expect("an answer");
        let (url, found) = (answer.url().clone(), answer.status());
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let text = answer.text().await.expect("a text");
        assert_eq!((found.as_u16(), kind.as_str()), (status, "application/problem+json"), "{url}: {text}");
        let problem: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(problem["status"], status, "{url}");
        assert!(problem["detail"].as_str().expect("a detail").contains(says), "{url}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_commands_tell_the_same_as_the_api() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let good = repository.push_job("echo the good one");
    let (code, out, err) = world.thump(&["wait", &good, "--timeout", "60"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let bad = repository.push_job("echo the bad one; false");
    let (code, out, err) = world.thump(&["wait", &bad, "--timeout", "60"]).await;
    assert_eq!(code, 1, "{out}{err}");

    let (code, out, _) = world.thump(&["builds"]).await;
    assert!(code == 0 && out.contains(&good[..10]) && out.contains(&bad[..10]), "{out}");
    let (_, out, _) = world.thump(&["builds", "--json", "--commit", &good]).await;
    let parsed: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(parsed["builds"][0]["verdict"], "passed");
    let (code, out, err) = world.thump(&["show", &bad]).await;
    assert!(code == 0 && out.contains("failed"), "{out}{err}");
    let (code, out, err) = world.thump(&["logs", &good]).await;
    assert!(code == 0 && out.contains("the good one"), "{out}{err}");
    for list in ["queues", "runners"] {
        let (code, out, err) = world.thump(&[list, "--json"]).await;
        assert_eq!(code, 0, "{err}");
        assert!(serde_json::from_str::<serde_json::Value>(&out).expect("JSON")[list].is_array(), "{out}");
    }
    let (code, ..) = world.thump(&["show", &"0".repeat(40)]).await;
    assert_eq!(code, 3);
    let (code, ..) = world.thump(&["wait", "no-commit"]).await;
    assert_eq!(code, 2, "a typing error is no red build");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_gives_up_with_its_own_exit_code() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let commit = repository.push_job(&world.until("never"));
    let (code, ..) = world.thump(&["wait", &commit, "--timeout", "1"]).await;
    assert_eq!(code, 124);
    let (code, ..) = world.thump(&["wait", &"0".repeat(40), "--timeout", "1"]).await;
    assert_eq!(code, 124, "a commit that is not there yet may still come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_log_can_be_followed_to_its_end() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let commit = repository.push_job(&format!("echo first; {}; echo last", world.until("go")));
    world.running_job(&commit).await;
    let words = ["logs", "-f", commit.as_str()];
    let follow = world.thump(&words);
    let release = async {
        world
            .eventually("the first line", || async { world.log(&commit).await.contains("first\n").then_some(()) })
            .await;
        world.make("go");
    };
    let ((code, out, err), ()) = tokio::join!(follow, release);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("first\n") && out.contains("last\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_can_be_cancelled_and_a_finished_one_run_again() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let commit = repository.push_job(&world.until("go"));
    let job = world.running_job(&commit).await;
    let id = job["id"].as_str().expect("an id");
    let (code, out, err) = world.thump(&["cancel", id]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(world.verdict(&commit).await, "cancelled");

    world.make("go");
    let (code, out, err) = world.thump(&["retry", id]).await;
    assert_eq!(code, 0, "{out}{err}");
    world
        .eventually("the second verdict", || async {
            let builds = world.builds(&commit).await;
            (builds[0]["verdict"] == "passed").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_from_a_foreign_page_is_refused() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let commit = repository.push_job(&world.until("go"));
    let job = world.running_job(&commit).await;
    let url = format!("{}/api/v1/jobs/{}/cancel", world.server(), job["id"].as_str().expect("an id"));
    let client = reqwest::Client::new();
    let foreign =
        client.post(&url).header("origin", "http://evil.example").header("content-type", "application/json").body("{}");
    assert_eq!(foreign.send().await.expect("an answer").status(), 403);
    let form = client.post(&url).header("content-type", "application/x-www-form-urlencoded").body("a=b");
    assert_eq!(form.send().await.expect("an answer").status().as_u16() / 100, 4);
    let rebound = client.get(format!("{}/api/v1/builds", world.server())).header("host", "evil.example");
    assert_eq!(rebound.send().await.expect("an answer").status().as_u16() / 100, 4);
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "passed");
}
