//! Asks whichever dispatcher leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use proof::{Build, Job};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::worker::Worker;

const PAGE: usize = 200;
/// Questions at once, where there are many.
const AT_ONCE: usize = 8;

/// How much is left to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Jobs without a verdict.
    pub jobs: u64,
    /// Those of them that run.
    pub running: u64,
}

#[derive(Deserialize)]
struct Queues {
    queues: Vec<Queue>,
}

#[derive(Deserialize)]
struct Queue {
    waiting: u64,
    queued: u64,
    running: u64,
}

#[derive(Deserialize)]
struct Builds {
    builds: Vec<Build>,
}

#[derive(Deserialize)]
struct Runners {
    runners: Vec<Runner>,
}

#[derive(Deserialize)]
struct Runner {
    state: String,
}

/// A client of the API, wherever it is served at the moment.
#[derive(Debug)]
pub struct Api {
    http: reqwest::Client,
    dispatchers: Vec<Arc<Worker>>,
}

impl Api {
    pub(crate) fn new(dispatchers: Vec<Arc<Worker>>) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { http, dispatchers })
    }

    /// What `path` answers, from the first dispatcher that does.
    ///
    /// # Errors
    ///
    /// None does.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let mut last = anyhow!("no dispatcher serves");
        for worker in &self.dispatchers {
            // One that somebody hurts at the moment is not asked: frozen, it would not even refuse.
            let Some(address) = worker.calm_life().and_then(|life| address(&life.output())) else { continue };
            let answer = async {
                let answer = self.http.get(format!("{address}{path}")).send().await?.error_for_status()?;
                answer.json().await
            };
            match answer.await {
                Ok(answer) => return Ok(answer),
                Err(cause) => last = cause.into(),
            }
        }
        Err(last.context(format!("ask for {path}")))
    }

    /// How much is left to do.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn queues(&self) -> Result<Left> {
        let answer: Queues = self.get("/api/v1/queues").await?;
        let mut left = Left::default();
        for queue in answer.queues {
            left.jobs += queue.waiting + queue.queued + queue.running;
            left.running += queue.running;
        }
        Ok(left)
    }

    /// How many runners are there and heard.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn living_runners(&self) -> Result<usize> {
        let answer: Runners = self.get("/api/v1/runners").await?;
        Ok(answer.runners.iter().filter(|runner| runner.state != "gone").count())
    }

    /// The newest builds, one page of them.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn newest(&self) -> Result<Vec<Build>> {
        Ok(self.get::<Builds>(&format!("/api/v1/builds?limit={PAGE}")).await?.builds)
    }

    /// The builds of one commit.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn of_commit(&self, commit: &str) -> Result<Vec<Build>> {
        Ok(self.get::<Builds>(&format!("/api/v1/builds?commit={commit}")).await?.builds)
    }

    /// Every build, newest first.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn builds(&self) -> Result<Vec<Build>> {
        let mut all = self.newest().await?;
        let mut page = all.len();
        while page == PAGE {
            let last = all.last().map(|build| build.id.clone()).context("a page is not empty")?;
            let next = self.get::<Builds>(&format!("/api/v1/builds?limit={PAGE}&before={last}")).await?.builds;
            page = next.len();
            all.extend(next);
        }
        Ok(all)
    }

    /// One job with its attempts.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub async fn job(&self, id: &str) -> Result<Job> {
        self.get(&format!("/api/v1/jobs/{id}")).await
    }

    pub(crate) async fn builds_in_full(&self) -> Result<Vec<Build>> {
        let mut builds = self.builds().await?;
        let jobs: Vec<&mut Job> = builds.iter_mut().flat_map(|build| &mut build.jobs).collect();
        let mut answers = futures::stream::iter(jobs)
            .map(|job| async {
                *job = self.job(&job.id).await?;
                anyhow::Ok(())
            })
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        drop(answers);
        Ok(builds)
    }
}

fn address(said: &str) -> Option<String> {
    let start = said.find("http://127.0.0.1:")?;
    said[start..].split_whitespace().next().map(str::to_owned)
}
