//! How soon the job of a killed runner starts elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use proof::faults::Role;

use super::{Figure, done, job_of, living, make, started, until};
use drill::Settings;
use drill::work;

/// Two runners that go missing within two seconds are no single death, so kills keep a distance.
const DISTANCE: Duration = Duration::from_millis(2500);

/// From the kill to the first line of the next attempt, on another runner.
///
/// # Errors
///
/// The machinery fails.
pub async fn killed_runner(settings: &Settings, times: usize) -> Result<Figure> {
    let settings = Settings { runners: 2, slots: 1, dispatchers: 1, ..settings.clone() };
    let (site, _node) = crate::node::site(&settings).await?;
    site.start().await?;
    let mut figure = Figure::new("next start after SIGKILL of a runner");
    for round in 0..times {
        living(&site, 2).await?;
        let go = format!("go-{round}");
        let text = work::job("test", None, site.folder(), &until(&site, &go), 0);
        let commit = site.repository.push(&[text])?.pop().context("a commit")?;
        let job = job_of(&site, &commit).await?.id;
        started(&site, &job, 1).await?;
        let holder = site.api.job(&job).await?.attempts.pop().context("an attempt")?.runner;
        let (role, _) = holder_of(&holder).context("a runner of this site")?;
        tokio::time::sleep(DISTANCE).await;

        let worker = site.worker(role)?;
        let mut life = worker.life().await;
        let killed = Instant::now();
        life.kill();
        started(&site, &job, 2).await?;
        figure.times.push(killed.elapsed());
        worker.start(&mut life)?;
        drop(life);
        make(&site, &go)?;
        let job = done(&site, &commit).await?;
        let right = job.verdict.as_deref() == Some("passed") && job.attempt == Some(2);
        figure.case(if right { Ok(()) } else { Err(format!("{job:?}")) });
    }
    Ok(figure)
}

/// The role whose name this is, and its number.
pub(super) fn holder_of(name: &str) -> Option<(Role, usize)> {
    let number = name.strip_prefix("runner-")?.parse().ok()?;
    Some((Role::Runner(number), number))
}
