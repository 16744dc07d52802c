//! How fast Thump is, beside anchors that are measured in the same run on the same machine.
//!
//! ```text
//! cargo bench --bench speed                        every row
//! cargo bench --bench speed -- queue idle          some rows: queue, idle, push, burst
//! cargo bench --bench speed -- push --pushes 300   sizes: --rounds --jobs --pings --pushes --commits
//! ```
//!
//! Apart from the stories because a figure is no promise: nothing here fails for being slow. The broker
//! is a private RabbitMQ node, the program the one of this build; both are gone when this ends.
//!
//! ```text
//! queue_path.rs   rows 1 and 2: the queue path and its idle latency
//!   plain.rs        their anchor: three processes, three confirmed hops, nothing else
//!   noop_runner.rs  a runner that does nothing, by the protocol
//! pushes.rs       rows 3 and 4: from `git push` to the first instruction, from the last one to the disk
//! burst.rs        row 5: many commits at once
//! helper.rs       this program again, as another process        figures.rs   medians and the table
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

mod burst;
mod figures;
mod helper;
mod noop_runner;
mod plain;
mod pushes;
mod queue_path;
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the verbs of the stories, of which a benchmark needs a few"
)]
#[path = "../../tests/world/mod.rs"]
mod world;

use std::time::Instant;

use figures::Row;

/// How much is measured. The defaults keep each row below a minute on two cores.
struct Sizes {
    rounds: usize,
    jobs: u64,
    pings: usize,
    pushes: usize,
    commits: usize,
}

const ROWS: [&str; 4] = ["queue", "idle", "push", "burst"];

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some((helper::ROLE, rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return helper::play(rest).await;
    }
    let (rows, sizes) = match typed(&words) {
        Ok(typed) => typed,
        Err(why) => {
            eprintln!("error: {why}");
            std::process::exit(2);
        }
    };
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    println!("load before: {}", load());
    let mut table: Vec<Row> = Vec::new();
    for name in rows {
        let begun = Instant::now();
        let measured = match name {
            "queue" => queue_path::throughput(sizes.rounds, sizes.jobs).await,
            "idle" => queue_path::latency(sizes.rounds, sizes.pings).await,
            "push" => pushes::measure(sizes.rounds, sizes.pushes).await,
            _ => burst::measure(sizes.rounds, sizes.commits).await,
        };
        eprintln!("# {name}: {:.0} s", begun.elapsed().as_secs_f64());
        table.extend(measured);
    }
    figures::print(&table);
    println!("load after: {}", load());
}

/// The rows and sizes that were asked for.
fn typed(words: &[String]) -> Result<(Vec<&'static str>, Sizes), String> {
    let mut sizes = Sizes { rounds: 3, jobs: 4000, pings: 200, pushes: 100, commits: 300 };
    let mut rows = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.parse::<usize>().ok()).filter(|value| *value > 0);
            value.ok_or_else(|| format!("{word} needs a number from 1"))
        };
        match word.as_str() {
            "--rounds" => sizes.rounds = number()?,
            "--jobs" => sizes.jobs = number()? as u64,
            "--pings" => sizes.pings = number()?,
            "--pushes" => sizes.pushes = number()?,
            "--commits" => sizes.commits = number()?,
            row => match ROWS.iter().find(|known| **known == row) {
                Some(row) => rows.push(*row),
                None => return Err(format!("{row:?} is no row and no size; rows are {}", ROWS.join(", "))),
            },
        }
    }
    if rows.is_empty() {
        rows.extend(ROWS);
    }
    Ok((rows, sizes))
}
