//! Whether running jobs bear the death of the broker, and how soon everybody consumes again.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

use super::{Figure, done, job_of, living, make, started, until};
use drill::Settings;
use drill::{wire, work};

/// Kills the broker under so many running jobs, so many times. The times are from the moment at which it answers
/// again to the moment at which every queue has its consumers.
///
/// # Errors
///
/// The machinery fails.
pub async fn broker_restart(settings: &Settings, jobs: usize, times: usize) -> Result<Figure> {
    let mut figure = Figure::new("jobs that ran on through a broker restart; time until all consume again");
    let settings = Settings { runners: 4, slots: jobs.div_ceil(4), dispatchers: 1, ..settings.clone() };
    let (site, node) = crate::node::site(&settings).await?;
    site.start().await?;
    let url = node.url();
    for round in 0..times {
        living(&site, 4).await?;
        let go = format!("go-{round}");
        let text = work::job("test", None, site.folder(), &until(&site, &go), 0);
        let commits = site.repository.push(&vec![text; jobs])?;
        let running = try_join_all(commits.iter().map(|commit| job_of(&site, commit))).await?;
        try_join_all(running.iter().map(|job| started(&site, &job.id, 1))).await?;
        crate::node::on_disk(&node).await?;
        node.kill().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        node.restart().await?;
        let opened = Instant::now();
        wire::consumed(
            &url,
            &[("thump.jobs.default", 4), ("thump.commits", 1), ("thump.results", 1), ("thump.logs", 1)],
        )
        .await?;
        figure.times.push(opened.elapsed());
        make(&site, &go)?;
        for job in try_join_all(commits.iter().map(|commit| done(&site, commit))).await? {
            let right = job.verdict.as_deref() == Some("passed") && job.attempts.len() == 1;
            figure.case(if right { Ok(()) } else { Err(format!("{job:?}")) });
        }
    }
    Ok(figure)
}
