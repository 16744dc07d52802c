//! Waiting with open ears: the change feed says when to look again, so nothing is asked in a loop.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::api::{Api, Failure};
use crate::exit::Exit;

/// How long the feed may be silent before one looks anyway: it may have been cut without a word.
const SILENCE: Duration = Duration::from_secs(20);

/// Prints a log from its beginning; with `follow` until its job has a verdict and the log has its end.
pub(super) async fn log(api: &Api, job: &str, follow: bool) -> Result<Exit, Exit> {
    let path = format!("/api/v1/jobs/{job}/log");
    let mut printed = 0;
    let mut attempt = Value::Null;
    // A job's own feed of bytes does not exist; while it runs its log is asked for twice a second.
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    let mut looks_after_verdict = 0;
    loop {
        let job = api.get(&format!("/api/v1/jobs/{job}"), &[]).await?;
        if job["attempt"] != attempt {
            // A new attempt has a log of its own, from its beginning.
            attempt = job["attempt"].clone();
            printed = 0;
        }
        let more = print_from(api, &path, &mut printed).await?;
        if !follow {
            return Ok(Exit::GOOD);
        }
        if !job["verdict"].is_null() {
            // The last bytes may follow the verdict: a log never holds a verdict up.
            let expected =
                job["attempts"].as_array().and_then(|all| all.last()).and_then(|last| last["log_length"].as_u64());
            looks_after_verdict += 1;
            if expected.is_none_or(|length| printed >= length) || (!more && looks_after_verdict > 20) {
                return Ok(Exit::GOOD);
            }
        }
        pause.tick().await;
    }
}

/// Prints what is there from `printed` on, and says whether there was anything.
async fn print_from(api: &Api, path: &str, printed: &mut u64) -> Result<bool, Exit> {
    let Some(mut response) = api.bytes_from(path, *printed).await? else { return Ok(false) };
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => {
                *printed += bytes.len() as u64;
                let mut out = std::io::stdout();
                if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                    // The reader has gone (`| head`): nobody is left to print for.
                    return Err(Exit::GOOD);
                }
            }
            Ok(None) => return Ok(true),
            Err(cause) => return Err(api.broken(&cause).into()),
        }
    }
}

/// Waits until a commit has builds and each has its verdict.
pub(super) async fn verdicts(api: &Api, commit: &str, repository: Option<&str>) -> Result<Vec<Value>, Exit> {
    let mut query = vec![("commit", commit.to_owned())];
    query.extend(repository.map(|name| ("repository", name.to_owned())));
    let mut reached = false;
    loop {
        // First the feed, then the look: a change in between is in the feed.
        let feed = match api.feed().await {
            Ok(feed) => {
                reached = true;
                Some(feed)
            }
            // Thump may be restarting; but one that was never there is an error.
            Err(Failure::Unreachable(_)) if reached => None,
            Err(failure) => return Err(failure.into()),
        };
        let Some(mut feed) = feed else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        loop {
            match api.get("/api/v1/builds", &query).await {
                Ok(answer) => {
                    let builds = answer["builds"].as_array().cloned().unwrap_or_default();
                    if !builds.is_empty() && builds.iter().all(|build| !build["verdict"].is_null()) {
                        return Ok(builds);
                    }
                }
                Err(Failure::Unreachable(_)) => break,
                Err(failure) => return Err(failure.into()),
            }
            match tokio::time::timeout(SILENCE, feed.chunk()).await {
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None) | Err(_)) | Err(_) => break,
            }
        }
    }
}
