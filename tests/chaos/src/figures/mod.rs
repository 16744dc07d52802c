//! Figures about faults: how soon, how many, how much. Each is measured as often as it is told to; whether the goal
//! was reached is for whoever asked.

mod broker_restart;
mod frozen_runner;
mod killed_runner;
mod orphans;
mod soak;
mod stop_race;

pub use broker_restart::broker_restart;
pub use frozen_runner::frozen_runner;
pub use killed_runner::killed_runner;
pub use orphans::orphans;
pub use soak::{Soak, soak};
pub use stop_race::stop_race;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proof::{Build, Job, Truth};

use drill::Site;

/// Times that were measured, and cases that went right.
#[derive(Debug, Clone, Default)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// One entry for each time.
    pub times: Vec<Duration>,
    /// How many cases went right.
    pub good: usize,
    /// How many cases there were.
    pub cases: usize,
    /// What went wrong, in words.
    pub wrong: Vec<String>,
}

impl Figure {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub(crate) fn case(&mut self, good: Result<(), String>) {
        self.cases += 1;
        match good {
            Ok(()) => self.good += 1,
            Err(why) => self.wrong.push(why),
        }
    }

    /// The time within which so many hundredths of all stay. Nearest rank, so a p99 of less than a hundred is the longest.
    pub fn percentile(&self, hundredths: usize) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// Whether every case went right.
    pub fn all_good(&self) -> bool {
        self.good == self.cases
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "{}: {} of {}", self.name, self.good, self.cases)?;
        if !self.times.is_empty() {
            let [p50, p99, max] = [50, 99, 100].map(|hundredths| self.percentile(hundredths).as_millis());
            write!(text, "; n {}, p50 {p50} ms, p99 {p99} ms, longest {max} ms", self.times.len())?;
        }
        for why in self.wrong.iter().take(20) {
            write!(text, "\n  {why}")?;
        }
        Ok(())
    }
}

/// What the jobs of a site wrote so far.
pub(crate) fn truth(site: &Site) -> Truth {
    Truth::read(&std::fs::read_to_string(site.path("truth")).unwrap_or_default())
}

/// Waits until so many attempts of a job have started.
pub(crate) async fn started(site: &Site, job: &str, attempts: usize) -> Result<()> {
    let asked = || async {
        let truth = truth(site);
        let by_job = truth.by_job();
        (by_job.get(job).map_or(0, std::collections::BTreeMap::len) >= attempts).then_some(())
    };
    site.eventually(&format!("attempt {attempts} of job {job}"), asked).await
}

/// The only job of a commit's only build, as soon as it is there.
pub(crate) async fn job_of(site: &Site, commit: &str) -> Result<Job> {
    let asked = || async { site.api.of_commit(commit).await.ok()?.pop()?.jobs.pop() };
    site.eventually(&format!("a job of {commit}"), asked).await
}

/// Waits for the verdict on a commit, and returns the only job with its attempts.
pub(crate) async fn done(site: &Site, commit: &str) -> Result<Job> {
    let asked = || async {
        let builds = site.api.of_commit(commit).await.ok()?;
        builds.first().filter(|build| build.state == "done")?;
        Some(builds)
    };
    let builds: Vec<Build> = site.eventually(&format!("a verdict on {commit}"), asked).await?;
    let [build] = &builds[..] else { bail!("{commit} has {} builds", builds.len()) };
    let job = build.jobs.first().context("a job")?;
    site.api.job(&job.id).await
}

/// A shell text that waits until the site's file is there.
pub(crate) fn until(site: &Site, file: &str) -> String {
    format!("until [ -e '{}' ]; do sleep 0.05; done", site.path(file).display())
}

/// Makes the file that a job waits for.
pub(crate) fn make(site: &Site, file: &str) -> Result<()> {
    Ok(std::fs::write(site.path(file), "")?)
}

/// Waits until the dispatcher has heard of so many living runners.
pub(crate) async fn living(site: &Site, count: usize) -> Result<()> {
    let asked = || async { (site.api.living_runners().await.ok()? >= count).then_some(()) };
    site.eventually(&format!("{count} runners"), asked).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut figure = Figure::new("x");
        assert_eq!(figure.percentile(50), Duration::ZERO);
        figure.times = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!([50, 99, 100].map(|at| figure.percentile(at).as_millis()), [100, 198, 200]);
        figure.times.truncate(30);
        assert_eq!(figure.percentile(99), figure.percentile(100));
    }
}
