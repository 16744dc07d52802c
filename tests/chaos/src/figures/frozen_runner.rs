//! How soon the job of a runner that cannot be heard starts elsewhere, and that its late verdict does not count.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fault_proxy::{Direction, Rule, Rules};
use futures::future::try_join_all;
use rustix::process::Signal;

use super::killed_runner::holder_of;
use super::{Figure, done, job_of, living, make, started, until};
use drill::work;
use drill::{Settings, Site};

/// Runners that fall silent at once; as many others stand by.
const AT_ONCE: usize = 6;

/// In turn: frozen by SIGSTOP, cut off both ways, and half open (it is heard by nobody's answer).
///
/// # Errors
///
/// The machinery fails.
pub async fn frozen_runner(settings: &Settings, times: usize) -> Result<Figure> {
    let mut figure = Figure::new("next start after SIGSTOP, partition or half-open line");
    let at_once = AT_ONCE.min(times.max(1));
    let settings = Settings { runners: 2 * at_once, slots: 1, dispatchers: 1, ..settings.clone() };
    let (site, _node) = crate::node::site(&settings).await?;
    site.start().await?;
    let mut round = 0;
    while figure.cases < times {
        living(&site, 2 * at_once).await?;
        batch(&site, at_once.min(times - figure.cases), round, &mut figure).await?;
        round += 1;
    }
    Ok(figure)
}

async fn batch(site: &Site, count: usize, round: usize, figure: &mut Figure) -> Result<()> {
    let go = format!("go-{round}");
    // The silent attempt would pass, the next one fails: whose verdict stands can be seen.
    let text = work::job("test", None, site.folder(), &format!("{}\ntest $THUMP_ATTEMPT = 1", until(site, &go)), 0);
    let commits = site.repository.push(&vec![text; count])?;
    let jobs = try_join_all(commits.iter().map(|commit| job_of(site, commit))).await?;
    try_join_all(jobs.iter().map(|job| started(site, &job.id, 1))).await?;
    let mut silent = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, job) in jobs.iter().enumerate() {
        let holder = site.api.job(&job.id).await?.attempts.pop().context("an attempt")?.runner;
        let (role, _) = holder_of(&holder).context("a runner of this site")?;
        anyhow::ensure!(seen.insert(role), "{role} holds two jobs with one slot");
        silent.push((number % 3, site.worker(role)?));
    }
    let begun = Instant::now();
    let mut lives = Vec::new();
    for (way, worker) in &silent {
        match way {
            0 => {
                let life = worker.life().await;
                life.signal(Signal::STOP);
                lives.push(life);
            }
            1 => worker.proxy()?.set(Rules::both(Rule::black_hole())),
            _ => worker.proxy()?.set(Rules::one(Direction::ToClient, Rule::black_hole())),
        }
    }
    let again = jobs.iter().map(|job| async {
        started(site, &job.id, 2).await?;
        anyhow::Ok(begun.elapsed())
    });
    let times: Vec<Duration> = try_join_all(again).await?;
    figure.times.extend(times);
    make(site, &go)?;
    let verdicts = try_join_all(commits.iter().map(|commit| done(site, commit))).await?;
    // Now the silent ones come back with what they have.
    for life in &lives {
        life.signal(Signal::CONT);
    }
    drop(lives);
    for (_, worker) in &silent {
        worker.proxy()?.heal().await;
    }
    living(site, site.runners().count()).await?;
    // A job that everybody must hear of, so that what they had to say was said before it.
    tokio::time::sleep(Duration::from_secs(7)).await;
    for (commit, before) in commits.iter().zip(verdicts) {
        let job = done(site, commit).await?;
        let finished = job.attempts.iter().filter(|attempt| attempt.state == "finished").count();
        let right = job.verdict.as_deref() == Some("failed") && job == before && finished == 1;
        figure.case(if right { Ok(()) } else { Err(format!("before {before:?}, after {job:?}")) });
    }
    Ok(())
}
