//! The commands that ask a running Thump. They know its API and nothing else of it.

mod api;
mod dead;
mod follow;
mod table;
mod tests;

use std::time::Duration;

use serde_json::Value;

use crate::cli::{BuildsOptions, ListOptions, LogsOptions, ShowOptions, TargetOptions, WaitOptions};
use crate::exit::Exit;
use crate::inspect::say;
use api::{Api, Failure};
pub(crate) use dead::dead;
use table::{Table, text};

/// `thump builds`
pub(crate) async fn builds(options: BuildsOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let mut query = vec![("limit", options.limit.to_string())];
    query.extend(options.commit.map(|commit| ("commit", commit)));
    query.extend(options.repository.map(|name| ("repository", name)));
    query.extend(options.ref_name.map(|name| ("ref", name)));
    let answer = api.get("/api/v1/builds", &query).await?;
    if options.server.json {
        say(&answer.to_string());
        return Ok(Exit::GOOD);
    }
    let mut table = Table::new(&["STATE", "COMMIT", "REPOSITORY", "REF", "SUBJECT", "ID"]);
    for build in list(&answer, "builds") {
        let commit: String = text(&build["commit"]).chars().take(10).collect();
        let number = format!("{} #{}", text(&build["repository"]), build["number"]);
        table.row([word(build), commit, number, short_ref(&build["ref"]), text(&build["subject"]), text(&build["id"])]);
    }
    table.print("no builds yet");
    Ok(Exit::GOOD)
}

/// `thump show`
pub(crate) async fn show(options: ShowOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let build = find_build(&api, &options.build).await?;
    if options.server.json {
        say(&build.to_string());
        return Ok(Exit::GOOD);
    }
    say(&format!(
        "{}  {} #{}  {}",
        word(&build),
        text(&build["repository"]),
        build["number"],
        short_ref(&build["ref"])
    ));
    say(&format!("commit  {}  {}", text(&build["commit"]), text(&build["subject"])));
    say(&format!("author  {}", text(&build["author"])));
    say_reason(&build["reason"]);
    let mut table = Table::new(&["STATE", "JOB", "RUNNER", "ATTEMPT", "ID"]);
    for job in list(&build, "jobs") {
        table.row([word(job), text(&job["name"]), text(&job["runner"]), text(&job["attempt"]), text(&job["id"])]);
    }
    table.print("no jobs");
    for job in list(&build, "jobs") {
        for why in [&job["reason"], &job["skipped"]].into_iter().filter(|why| !why["detail"].is_null()) {
            say(&format!("{}:", text(&job["name"])));
            say_reason(why);
        }
    }
    if !build["tests"].is_null() {
        tests::print(&api.get(&format!("/api/v1/builds/{}/tests", text(&build["id"])), &[]).await?);
    }
    Ok(Exit::GOOD)
}

/// `thump logs`
pub(crate) async fn logs(options: LogsOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let job = find_job(&api, &options.target, options.job.as_deref()).await?;
    follow::log(&api, &text(&job["id"]), options.follow).await
}

/// `thump wait`
pub(crate) async fn wait(options: WaitOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let json = options.server.json;
    let patience = options.timeout.map(Duration::from_secs);
    let waiting = follow::verdicts(&api, &options.commit, options.repository.as_deref());
    let builds = match patience {
        Some(patience) => match tokio::time::timeout(patience, waiting).await {
            Ok(builds) => builds?,
            Err(_) => return Ok(Exit::TIMED_OUT),
        },
        None => waiting.await?,
    };
    if json {
        say(&serde_json::json!({ "builds": builds }).to_string());
    } else {
        for build in &builds {
            say(&format!(
                "{}  {} {}  {}",
                word(build),
                text(&build["repository"]),
                short_ref(&build["ref"]),
                text(&build["subject"])
            ));
            say_reason(&build["reason"]);
        }
    }
    let good = builds.iter().all(|build| matches!(build["verdict"].as_str(), Some("passed" | "skipped")));
    Ok(if good { Exit::GOOD } else { Exit::NOT_GOOD })
}

/// `thump cancel`
pub(crate) async fn cancel(options: TargetOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let answer = match api.post(&format!("/api/v1/jobs/{}/cancel", options.id)).await {
        Err(Failure::NotFound(_)) => api.post(&format!("/api/v1/builds/{}/cancel", options.id)).await?,
        other => other?,
    };
    report(&options, &answer);
    Ok(Exit::GOOD)
}

/// `thump retry`
pub(crate) async fn retry(options: TargetOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let answer = api.post(&format!("/api/v1/jobs/{}/retry", options.id)).await?;
    report(&options, &answer);
    Ok(Exit::GOOD)
}

fn report(options: &TargetOptions, answer: &Value) {
    if options.server.json {
        say(&answer.to_string());
    } else {
        say(&format!("{}  {}", word(answer), text(&answer["id"])));
    }
}

/// `thump queues`
pub(crate) async fn queues(options: ListOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let answer = api.get("/api/v1/queues", &[]).await?;
    if options.server.json {
        say(&answer.to_string());
        return Ok(Exit::GOOD);
    }
    let mut table = Table::new(&["POOL", "WAITING", "QUEUED", "RUNNING", "OLDEST WAIT"]);
    for queue in list(&answer, "queues") {
        let wait = format!("{:.0} s", queue["oldest_wait_seconds"].as_f64().unwrap_or(0.0));
        table.row([
            text(&queue["pool"]),
            text(&queue["waiting"]),
            text(&queue["queued"]),
            text(&queue["running"]),
            wait,
        ]);
    }
    table.print("no pool has a runner or a job yet");
    Ok(Exit::GOOD)
}

/// `thump runners`
pub(crate) async fn runners(options: ListOptions) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let answer = api.get("/api/v1/runners", &[]).await?;
    if options.server.json {
        say(&answer.to_string());
        return Ok(Exit::GOOD);
    }
    let mut table = Table::new(&["STATE", "RUNNER", "POOL", "SLOTS", "LAST SEEN", "HOLDS"]);
    for runner in list(&answer, "runners") {
        let held: Vec<String> = list(runner, "attempts")
            .iter()
            .map(|held| format!("{} ({}, attempt {})", text(&held["job_name"]), text(&held["job"]), held["attempt"]))
            .collect();
        table.row([
            text(&runner["state"]),
            text(&runner["name"]),
            text(&runner["pool"]),
            text(&runner["slots"]),
            text(&runner["last_seen"]),
            held.join(", "),
        ]);
    }
    table.print("no runner has said anything yet");
    for runner in list(&answer, "runners") {
        if !runner["trouble"].is_null() {
            say(&format!("{} takes no jobs: {}", text(&runner["name"]), text(&runner["trouble"])));
        }
    }
    Ok(Exit::GOOD)
}

/// A build by its id, or the newest one of a commit.
async fn find_build(api: &Api, wanted: &str) -> Result<Value, Exit> {
    if is_uuid(wanted) {
        return Ok(api.get(&format!("/api/v1/builds/{wanted}"), &[]).await?);
    }
    let answer = api.get("/api/v1/builds", &[("commit", wanted.to_owned()), ("limit", "1".into())]).await?;
    let newest = list(&answer, "builds").first().cloned();
    newest.ok_or_else(|| Exit::not_found(format!("there is no build of commit {wanted}")))
}

/// A job by its id, or the one that is meant of a build.
async fn find_job(api: &Api, wanted: &str, name: Option<&str>) -> Result<Value, Exit> {
    if is_uuid(wanted) {
        match api.get(&format!("/api/v1/jobs/{wanted}"), &[]).await {
            Err(Failure::NotFound(_)) => {}
            other => return Ok(other?),
        }
    }
    let build = find_build(api, wanted).await?;
    let jobs = list(&build, "jobs");
    let names: Vec<String> = jobs.iter().map(|job| text(&job["name"])).collect();
    // Of a job that was run again the newest one is meant: it stands last.
    let found = match name {
        Some(name) => jobs.iter().rev().find(|job| job["name"] == name),
        None if jobs.len() == 1 => jobs.first(),
        None => jobs.iter().rev().find(|job| job["verdict"] == "failed"),
    };
    found.cloned().ok_or_else(|| Exit::not_found(format!("which job? --job takes one of: {}", names.join(", "))))
}

fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok() && text.contains('-')
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

/// The verdict if there is one, else the state.
fn word(thing: &Value) -> String {
    match thing["verdict"].as_str() {
        Some(verdict) => verdict.replace('_', " "),
        None => text(&thing["state"]),
    }
}

fn short_ref(name: &Value) -> String {
    let name = text(name);
    name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(&name).to_owned()
}

fn say_reason(reason: &Value) {
    if let Some(detail) = reason["detail"].as_str() {
        for line in detail.lines() {
            say(&format!("  {}", crate::verdicts::shown(line)));
        }
    }
}
