//! SIGTERM at the instant at which a job is delivered: the job is run or given back, and no attempt is lost.

use std::time::Duration;

use anyhow::{Context, Result};
use proof::faults::Role;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use super::{Figure, done};
use drill::Settings;
use drill::site::{PATIENCE, ended_well};
use drill::work;

/// From a push to the delivery of its job takes some ten milliseconds; the signal comes anywhere around it.
const LATEST: u64 = 120;

/// So many times.
///
/// # Errors
///
/// The machinery fails.
pub async fn stop_race(settings: &Settings, times: usize, seed: u64) -> Result<Figure> {
    let mut figure = Figure::new("SIGTERM at the instant of delivery, no attempt lost");
    let settings = Settings { runners: 1, slots: 1, dispatchers: 1, ..settings.clone() };
    let (site, _node) = crate::node::site(&settings).await?;
    site.start().await?;
    let mut random = SmallRng::seed_from_u64(seed);
    let worker = site.worker(Role::Runner(0))?;
    for _ in 0..times {
        // Its own word: one that has not begun yet has nothing to give back.
        let begun = || async { worker.life().await.output().contains("runner started").then_some(()) };
        site.eventually("the runner", begun).await?;
        let text = work::job("test", None, site.folder(), "true", 0);
        let commit = site.repository.push(&[text])?.pop().context("a commit")?;
        let wait = Duration::from_millis(random.random_range(0..LATEST));
        tokio::time::sleep(wait).await;
        let mut life = worker.life().await;
        life.signal(Signal::TERM);
        let ended = life.ends_within(PATIENCE).await;
        let well = ended.is_some_and(|status| ended_well(status, &life.output()));
        worker.start(&mut life)?;
        drop(life);
        let job = done(&site, &commit).await?;
        let lost = job.attempts.iter().any(|attempt| attempt.state == "lost");
        let right = job.verdict.as_deref() == Some("passed") && !lost && well;
        figure.case(if right { Ok(()) } else { Err(format!("after {wait:?}, runner {ended:?}: {job:?}")) });
    }
    Ok(figure)
}
