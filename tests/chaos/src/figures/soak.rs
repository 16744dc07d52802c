//! Whether anything grows while jobs come in for a long time and nothing goes wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use proof::faults::Role;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::living;
use drill::Settings;
use drill::processes::Process;
use drill::work;

const SAMPLE: Duration = Duration::from_secs(5);
/// Samples that a mean is taken of.
const WINDOW: usize = 12;

/// How one role stood after the warm-up and at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Mean resident memory in KiB, after the warm-up and at the end.
    pub resident: (f64, f64),
    /// Mean number of descriptors, after the warm-up and at the end.
    pub descriptors: (f64, f64),
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Soak {
    /// Each role.
    pub roles: BTreeMap<Role, Growth>,
    /// Jobs that were pushed, and that had a verdict at the end.
    pub jobs: (usize, usize),
    /// Verdicts in a second, over the whole time.
    pub rate: f64,
}

impl Growth {
    /// By how many hundredths its memory grew.
    pub fn memory(&self) -> f64 {
        (self.resident.1 / self.resident.0 - 1.0) * 100.0
    }

    /// How many descriptors it has more than before.
    pub fn descriptors(&self) -> f64 {
        self.descriptors.1 - self.descriptors.0
    }
}

/// Pushes `rate` jobs in a second for the whole time; what stands after `warm_up` is compared with the end.
///
/// # Errors
///
/// The machinery fails.
pub async fn soak(settings: &Settings, rate: usize, warm_up: Duration, whole: Duration) -> Result<Soak> {
    let settings = Settings { runners: 4, dispatchers: 1, ..settings.clone() };
    let (site, _node) = crate::node::site(&settings).await?;
    site.start().await?;
    living(&site, 4).await?;
    let text = work::job("test", None, site.folder(), "true", 0);
    let begun = Instant::now();
    let mut pushed = 0;
    let pushes = async {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while begun.elapsed() < whole {
            seconds.tick().await;
            pushed += site.repository.push(&vec![text.clone(); rate])?.len();
        }
        anyhow::Ok(())
    };
    let samples = async {
        let mut samples: BTreeMap<Role, Vec<(f64, f64)>> = BTreeMap::new();
        while begun.elapsed() < whole {
            tokio::time::sleep(SAMPLE).await;
            if begun.elapsed() < warm_up {
                continue;
            }
            for worker in site.workers() {
                let process = worker.life().await.process();
                if let Some(sample) = process.and_then(sample) {
                    samples.entry(worker.role).or_default().push(sample);
                }
            }
        }
        samples
    };
    let (pushes, samples) = tokio::join!(pushes, samples);
    pushes?;
    let all = || async {
        let left = site.api.queues().await.ok()?;
        let builds = site.api.builds().await.ok()?;
        (left.jobs == 0 && builds.len() >= pushed).then_some(builds.len())
    };
    let done = site.eventually("all verdicts", all).await?;
    let rate = f64::from(u32::try_from(done)?) / begun.elapsed().as_secs_f64();
    let roles = samples.iter().map(|(role, samples)| (*role, growth(samples))).collect();
    Ok(Soak { roles, jobs: (pushed, done), rate })
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
fn sample(process: Process) -> Option<(f64, f64)> {
    Some((process.resident_kib()? as f64, process.descriptors()? as f64))
}

#[expect(clippy::cast_precision_loss, reason = "a dozen")]
fn growth(samples: &[(f64, f64)]) -> Growth {
    let window = WINDOW.min(samples.len() / 2).max(1);
    let mean = |part: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| {
        part.iter().map(which).sum::<f64>() / part.len().max(1) as f64
    };
    let first = &samples[..window.min(samples.len())];
    let last = &samples[samples.len().saturating_sub(window)..];
    Growth {
        resident: (mean(first, |sample| sample.0), mean(last, |sample| sample.0)),
        descriptors: (mean(first, |sample| sample.1), mean(last, |sample| sample.1)),
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "jobs {} of {}, {:.1} a second", self.jobs.1, self.jobs.0, self.rate)?;
        for (role, growth) in &self.roles {
            let (before, after) = growth.resident;
            write!(text, "\n{role:<14} {before:>8.0} KiB, then {after:>8.0} KiB ({:+.1} %)", growth.memory())?;
            let (before, after) = growth.descriptors;
            write!(text, "; descriptors {before:.1}, then {after:.1}")?;
        }
        Ok(())
    }
}
