//! `thump dead`: what waits for a person, and what they want done with it.

use serde_json::{Value, json};

use super::api::{Api, Failure};
use super::table::{Table, text};
use super::{list, say_reason};
use crate::cli::{DeadCommand, DeadIds, DeadList, DeadOptions, DeadShow};
use crate::exit::Exit;
use crate::inspect::say;
use crate::verdicts::shown;

/// `thump dead`
pub(crate) async fn dead(options: DeadOptions) -> Result<Exit, Exit> {
    match options.what {
        None => listing(options.list).await,
        Some(DeadCommand::Show(options)) => show(options).await,
        Some(DeadCommand::Replay(options)) => order(options, "replay").await,
        Some(DeadCommand::Discard(options)) => order(options, "discard").await,
    }
}

async fn listing(options: DeadList) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let mut query = vec![("limit", options.limit.to_string())];
    query.extend(options.before.map(|id| ("before", id)));
    let answer = api.get("/api/v1/dead", &query).await?;
    if options.server.json {
        say(&answer.to_string());
        return Ok(Exit::GOOD);
    }
    let jobs = list(&answer, "jobs");
    let letters = list(&answer, "letters");
    if jobs.is_empty() && letters.is_empty() {
        say("nothing is parked");
        return Ok(Exit::GOOD);
    }
    let mut table = Table::new(&["PARKED", "JOB", "REPOSITORY", "ATTEMPTS", "WHY", "ID"]);
    for job in jobs {
        table.row([
            text(&job["parked_at"]),
            text(&job["name"]),
            format!("{} #{}", text(&job["repository"]), job["build_number"]),
            text(&job["attempt"]),
            first_line(&job["reason"]["detail"]),
            text(&job["id"]),
        ]);
    }
    if !jobs.is_empty() {
        table.print("");
    }
    let mut table = Table::new(&["DIED LAST", "QUEUE", "KIND", "DEATHS", "WHY", "ID"]);
    for letter in letters {
        table.row([
            text(&letter["last_at"]),
            text(&letter["queue"]),
            text(&letter["message_kind"]),
            text(&letter["deaths"]),
            first_line(&letter["reason"]),
            text(&letter["id"]),
        ]);
    }
    if !letters.is_empty() {
        table.print("");
    }
    Ok(Exit::GOOD)
}

async fn show(options: DeadShow) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let entry = api.get(&path(&options.id, "")?, &[]).await?;
    if options.server.json {
        say(&entry.to_string());
        return Ok(Exit::GOOD);
    }
    if entry["kind"] == "letter" {
        say_letter(&entry);
    } else {
        say_job(&entry);
    }
    for order in list(&entry, "orders") {
        say(&format!("{}  {}: {}", text(&order["at"]), text(&order["who"]), text(&order["action"]).replace('_', " ")));
    }
    Ok(Exit::GOOD)
}

fn say_job(job: &Value) {
    say(&format!(
        "{}  job {} of {} #{}",
        text(&job["standing"]).replace('_', " "),
        text(&job["name"]),
        text(&job["repository"]),
        job["build_number"]
    ));
    say(&format!("id      {}", text(&job["id"])));
    say(&format!("commit  {}  {}", text(&job["commit"]), text(&job["subject"])));
    say(&format!("parked  {}", text(&job["parked_at"])));
    if !job["run_again_as"].is_null() {
        say(&format!("again   {}", text(&job["run_again_as"])));
    }
    say_reason(&job["reason"]);
    for attempt in list(job, "attempts") {
        say("");
        say(&format!(
            "attempt {} on {}: {}: {}",
            attempt["number"],
            text(&attempt["runner"]),
            text(&attempt["state"]).replace('_', " "),
            text(&attempt["detail"])
        ));
        say(&format!("  from {} to {}", text(&attempt["started_at"]), text(&attempt["finished_at"])));
        let counted: Vec<String> = list(attempt, "counts_towards").iter().map(text).collect();
        say(&format!("  counted towards: {}", if counted.is_empty() { "nothing".into() } else { counted.join("; ") }));
        if attempt["log_bytes"] == 0 {
            say("  no log is here");
        }
        for line in list(attempt, "last_lines") {
            say(&format!("  | {}", text(line)));
        }
    }
}

fn say_letter(letter: &Value) {
    say(&format!("{}  dead letter {}", text(&letter["standing"]), text(&letter["id"])));
    say(&format!("queue   {}", text(&letter["queue"])));
    say(&format!("sent    {} with key {}", text(&letter["exchange"]), text(&letter["key"])));
    say(&format!("kind    {}", text(&letter["message_kind"])));
    say(&format!(
        "died    {} times, first {}, last {}",
        letter["deaths"],
        text(&letter["recorded_at"]),
        text(&letter["last_at"])
    ));
    say(&format!("  {}", text(&letter["reason"])));
    if !letter["note"].is_null() {
        say(&format!("replay  {}", text(&letter["note"])));
    }
    let part = if letter["body"]["whole"] == true { "" } else { ", the beginning" };
    let (form, body) = match letter["body"]["text"].as_str() {
        Some(body) => ("text", body),
        None => ("hex", letter["body"]["hex"].as_str().unwrap_or_default()),
    };
    say(&format!("body    {} bytes, as {form}{part}", letter["bytes"]));
    for line in body.lines() {
        say(&format!("  | {}", shown(line)));
    }
}

/// One order about each id. One that is refused does not keep the others from theirs.
async fn order(options: DeadIds, action: &str) -> Result<Exit, Exit> {
    let api = Api::new(&options.server)?;
    let (mut done, mut problems) = (Vec::new(), Vec::new());
    for id in &options.ids {
        let outcome = match path(id, &format!("/{action}")) {
            Ok(path) => api.post_as(&path, &whoami()).await.map_err(|failure| match failure {
                // Nobody is there for the other ids either.
                Failure::Unreachable(what) => (true, Exit::not_found(what)),
                failure => (false, failure.into()),
            }),
            Err(exit) => Err((false, exit)),
        };
        match outcome {
            Ok(entry) => {
                if !options.server.json {
                    say(&told(&entry));
                }
                done.push(entry);
            }
            Err((over, exit)) => {
                problems.push((id.clone(), exit));
                if over {
                    break;
                }
            }
        }
    }
    if options.server.json {
        let refused: Vec<Value> = problems
            .iter()
            .map(|(id, exit)| json!({"id": id, "problem": exit.message().unwrap_or_default()}))
            .collect();
        say(&json!({"done": done, "problems": refused}).to_string());
    }
    Exit::of_many(problems.into_iter().map(|(id, exit)| exit.about(&shown(&id))))
}

/// What became of it, on one line.
fn told(entry: &Value) -> String {
    let id = text(&entry["id"]);
    match entry["standing"].as_str() {
        Some("run_again") => format!("{id}  run again as {}", text(&entry["run_again_as"])),
        Some("replaying") => format!("{id}  replaying; `thump dead show {id}` tells when it lies in its queue"),
        _ => format!("{id}  {}", text(&entry["standing"])),
    }
}

/// An id is a UUID or a number; anything else would be another address.
fn path(id: &str, rest: &str) -> Result<String, Exit> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(Exit::not_found(format!("{:?} is no id\n  try   thump dead, which lists the ids", shown(id))));
    }
    Ok(format!("/api/v1/dead/{id}{rest}"))
}

/// Who orders: kept beside the order, and believed, since there is no login.
fn whoami() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    if name.trim().is_empty() { "thump dead".to_owned() } else { name }
}

fn first_line(value: &Value) -> String {
    shown(value.as_str().unwrap_or_default().lines().next().unwrap_or_default())
}
