//! Row 5: many commits in one push, with real checkouts and processes. Beside them shell loops over the
//! same commits: one warm checkout for each loop, and a clone for each commit.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use crate::figures::{Row, median};
use crate::pushes::fill;
use crate::world::{Carrier, Repository, World};

/// A clone for each commit is slow: so many are enough.
const CLONES: usize = 60;

/// Row 5, with one slot and with four.
pub(crate) async fn measure(rounds: usize, commits: usize) -> Vec<Row> {
    let folder = tempfile::Builder::new().prefix("thump-speed-").tempdir().expect("a folder");
    let history = Repository::new(folder.path(), "history");
    fill(&history, "true");
    let all: Vec<String> = (0..commits)
        .map(|number| {
            history.write(&format!("src/file-{}.txt", number % crate::pushes::FILES), &format!("change {number}\n"));
            history.commit("a change")
        })
        .collect();
    history.push();
    let mut table = Vec::new();
    for (slots, goal) in [(1, ">= 100 jobs/s"), (4, ">= 200 jobs/s")] {
        let (mut ours, mut warm, mut clone) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=rounds {
            warm.push(loops(&history, &all, slots, &warm_loop(folder.path(), &history, slots)));
            clone.push(loops(&history, &all[..CLONES.min(commits)], slots, &clone_loop(folder.path())));
            ours.push(thump(&history, &all, slots).await);
            let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
            eprintln!(
                "# burst, {slots} slots, round {round}: Thump {:.0}, warm loop {:.0}, clones {:.0} jobs/s",
                last(&ours),
                last(&warm),
                last(&clone)
            );
        }
        let (ours, warm, clone) = (median(&ours), median(&warm), median(&clone));
        table.push(Row {
            measure: format!("{commits} commits at once, embedded, {slots} slot{}", if slots == 1 { "" } else { "s" }),
            figure: format!("{ours:.0} jobs/s"),
            anchor: format!("shell loop, warm checkout {warm:.0}, a clone each {clone:.0} jobs/s"),
            ratio: format!("{:.2}", ours / warm),
            goal,
        });
    }
    table
}

/// From the start of the push to the last verdict on disk.
async fn thump(history: &Repository, commits: &[String], slots: usize) -> f64 {
    let mut world = World::new(Carrier::Embedded).await;
    world.runner_options = vec!["--slots".into(), slots.to_string()];
    let watched = world.repository("app").path().display().to_string();
    // The repository has its first commit before the burst.
    let beginning = format!("{}^:refs/heads/main", commits[0]);
    history.git(&["push", "--quiet", &watched, &beginning]);
    world.start().await;
    let first = history.git(&["rev-parse", &format!("{}^", commits[0])]).trim().to_owned();
    assert_eq!(world.verdict(&first).await, "passed");

    let begun = Instant::now();
    tokio::task::block_in_place(|| history.git(&["push", "--quiet", &watched, "HEAD:refs/heads/main"]));
    // Taken in oldest first: when the newest is known and nothing is open, all are done.
    world.done(commits.last().expect("commits")).await;
    world.eventually("an empty backlog", || nothing_is_open(&world)).await;
    let took = begun.elapsed().as_secs_f64();
    for commit in commits {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    commits.len() as f64 / took
}

async fn nothing_is_open(world: &World) -> Option<()> {
    let answer = world.api("/api/v1/queues").await?;
    let open = |queue: &serde_json::Value| {
        ["waiting", "queued", "running"].iter().any(|state| queue[state].as_u64() != Some(0))
    };
    (!answer["queues"].as_array()?.iter().any(open)).then_some(())
}

/// Clones a checkout for each loop, and gives the text of a loop.
fn warm_loop(folder: &Path, history: &Repository, loops: usize) -> String {
    for number in 0..loops {
        let checkout = folder.join(format!("warm-{number}"));
        if !checkout.exists() {
            let from = history.path().display().to_string();
            history.git(&["clone", "--quiet", &from, &checkout.display().to_string()]);
        }
    }
    format!(
        "cd '{}'/warm-$1; for commit in $2; do git checkout -q -f $commit && sh -c true || exit 1; done",
        folder.display()
    )
}

fn clone_loop(folder: &Path) -> String {
    format!(
        "cd '{}'; for commit in $2; do git clone -q \"$3\" clone-$1 && git -C clone-$1 checkout -q $commit && \
         (cd clone-$1 && sh -c true) && rm -rf clone-$1 || exit 1; done",
        folder.display()
    )
}

/// Runs the text in so many shells at once, each with its share of the commits: jobs a second.
fn loops(history: &Repository, commits: &[String], loops: usize, text: &str) -> f64 {
    let begun = Instant::now();
    let shells: Vec<Child> = commits
        .chunks(commits.len().div_ceil(loops))
        .enumerate()
        .map(|(number, share)| {
            let mut shell = Command::new("sh");
            shell.args(["-c", text, "sh", &number.to_string(), &share.join(" ")]).arg(history.path());
            shell.spawn().expect("a shell")
        })
        .collect();
    for mut shell in shells {
        assert!(shell.wait().expect("it ended").success(), "the loop went through");
    }
    commits.len() as f64 / begun.elapsed().as_secs_f64()
}
