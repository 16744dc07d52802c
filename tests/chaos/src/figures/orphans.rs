//! What is left of a job two seconds after its runner was killed.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;

use super::{Figure, done, job_of, living, started};
use drill::processes::{Process, marked_below};
use drill::work;
use drill::{Settings, Site};

/// Runners that are killed at once.
const AT_ONCE: usize = 8;
const LIMIT: Duration = Duration::from_secs(2);

/// Kills so many runners in the middle of a job that has put processes everywhere.
///
/// # Errors
///
/// The machinery fails.
pub async fn orphans(settings: &Settings, times: usize) -> Result<Figure> {
    let mut figure = Figure::new("nothing left two seconds after SIGKILL of a runner");
    let at_once = AT_ONCE.min(times.max(1));
    let settings = Settings { runners: at_once, slots: 1, dispatchers: 1, ..settings.clone() };
    let (site, _node) = crate::node::site(&settings).await?;
    site.start().await?;
    while figure.cases < times {
        living(&site, at_once).await?;
        batch(&site, at_once.min(times - figure.cases), &mut figure).await?;
    }
    Ok(figure)
}

async fn batch(site: &Site, count: usize, figure: &mut Figure) -> Result<()> {
    // In a session of its own; deaf to SIGTERM; orphaned twice over. The second attempt has nothing to do.
    let work = "test $THUMP_ATTEMPT = 1 || exit 0\n\
                setsid sleep 600 &\n\
                setsid sh -c 'trap \"\" TERM HUP INT; sleep 600; sleep 600' &\n\
                (setsid sh -c 'sleep 600 & sleep 600 & wait' &)\n\
                sleep 600";
    let text = work::job("test", None, site.folder(), work, 0);
    let commits = site.repository.push(&vec![text; count])?;
    let jobs = try_join_all(commits.iter().map(|commit| job_of(site, commit))).await?;
    try_join_all(jobs.iter().map(|job| started(site, &job.id, 1))).await?;
    // Let the daemons come up.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut families: Vec<(String, Vec<Process>)> = Vec::new();
    let mut lives = Vec::new();
    for worker in site.runners() {
        let life = worker.life().await;
        let family = life.process().map(Process::descendants).unwrap_or_default();
        families.push((worker.role.to_string(), family));
        lives.push((worker, life));
    }
    for (_, life) in &mut lives {
        life.kill();
    }
    tokio::time::sleep(LIMIT).await;
    for (role, family) in families.iter().filter(|(_, family)| !family.is_empty()) {
        let mut left: Vec<Process> = family.iter().copied().filter(|process| process.runs()).collect();
        left.extend(marked_below(&site.path(role)).into_iter().map(|marked| marked.process));
        let told: Vec<String> = left.iter().map(|process| format!("{} {}", process.pid, process.command())).collect();
        figure.case(if told.is_empty() { Ok(()) } else { Err(format!("{role}: {}", told.join(", "))) });
    }
    for (worker, life) in &mut lives {
        worker.start(life)?;
    }
    drop(lives);
    try_join_all(commits.iter().map(|commit| done(site, commit))).await?;
    Ok(())
}
