//! What Thump recorded, in the form in which its API tells it.

use serde::Deserialize;

/// One build of `/api/v1/builds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Build {
    /// Its id.
    pub id: String,
    /// The repository's name.
    pub repository: String,
    /// The ref.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The commit.
    pub commit: String,
    /// Its state.
    pub state: String,
    /// Its jobs.
    pub jobs: Vec<Job>,
}

/// One job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its name within the pipeline.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Its verdict.
    pub verdict: Option<String>,
    /// Why, if it is `errored`.
    pub reason: Option<Reason>,
    /// The number of the last attempt.
    pub attempt: Option<u32>,
    /// The job that this one repeats at somebody's wish.
    pub retry_of: Option<String>,
    /// Every attempt, where a job was asked for alone.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// Why a job is `errored`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// The kind of reason.
    pub kind: String,
    /// More words.
    pub detail: String,
}

/// One attempt of `/api/v1/jobs/<id>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Attempt {
    /// Its number.
    pub number: u32,
    /// Who ran it.
    pub runner: String,
    /// How it stands.
    pub state: String,
}
