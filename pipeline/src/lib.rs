//! Turns the text of a `.thump.toml` into jobs, or into problems with line, column and remedy.
//!
//! Pure: the same text gives the same plan, on the dispatcher, in `thump check` and in tests. Apart from
//! the dispatcher because authors meet it without one. Must not know: disk, network, clock, the ledger.

mod condition;
mod duration;
mod file;
mod graph;
mod job;
mod keys;
mod matrix;
mod needs;
mod problem;
mod reader;
mod reports;
mod shown;
mod syntax;
mod table;
mod values;
mod when;

use std::sync::Arc;

use messages::{JobSpec, MAX_PIPELINE_BYTES, PipelineSource, PoolName, Work};

pub use condition::{Event, Occasion, When};
pub use problem::{PipelineError, Problem};

/// The file's name in a repository.
pub const FILE_NAME: &str = ".thump.toml";
/// The most jobs of one file, every member of a matrix counted.
pub const MAX_JOBS: usize = 200;
/// The most bytes of all steps and variables of a plan: a matrix repeats those of its job.
pub const MAX_PLAN_BYTES: usize = 4 * 1024 * 1024;
/// The most steps of one job.
pub const MAX_STEPS: usize = 100;
/// The longest step, in bytes.
pub const MAX_STEP_BYTES: usize = 16 * 1024;
/// The most environment variables of one job, those for all jobs included.
pub const MAX_VARIABLES: usize = 100;
/// The most bytes of the environment variables of one job, names and values together.
pub const MAX_VARIABLE_BYTES: usize = 16 * 1024;
/// The most attempts that `retry` may add for one kind of failure.
pub const MAX_RETRIES: u8 = 5;
/// The longest job name, in characters.
pub const MAX_NAME_CHARS: usize = 100;
/// The time limit of a job that names none, in seconds: one hour.
pub const DEFAULT_TIMEOUT_SECONDS: u64 = 3600;

/// What a pipeline says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the file; at least one. Their needs form no circle.
    pub jobs: Vec<PlannedJob>,
}

/// One job of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// Unique within the plan.
    pub name: String,
    /// Which runners may take it.
    pub pool: PoolName,
    /// Positions in [`Plan::jobs`] of the jobs that must pass first.
    pub needs: Vec<usize>,
    /// On which occasions; on all of them if `None`.
    pub when: Option<Arc<When>>,
    /// Its failure does not make the build red.
    pub allow_failure: bool,
    /// When another attempt is made.
    pub retry: Retry,
    /// What it does.
    pub spec: JobSpec,
}

/// How many more attempts follow those that ended like this, each at most [`MAX_RETRIES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    /// Failed.
    pub failed: u8,
    /// Timed out.
    pub timed_out: u8,
    /// Errored; `None` if the file says nothing.
    pub errored: Option<u8>,
}

/// Plans what the observer found at a commit. Without a file that is one job named `test`, whose
/// commands the runner recognises.
///
/// # Errors
/// Every problem that was found, at most 20.
pub fn plan(source: &PipelineSource) -> Result<Plan, PipelineError> {
    match source {
        PipelineSource::File { text } => parse(text),
        PipelineSource::Missing => Ok(Plan { jobs: vec![recognised_job()] }),
        PipelineSource::TooLarge { bytes } => Err(PipelineError::whole(&format!(
            "the pipeline file has {bytes} bytes, the limit is {MAX_PIPELINE_BYTES}"
        ))),
        PipelineSource::Unreadable { why } => Err(PipelineError::whole(&format!("the pipeline file is {why}"))),
    }
}

/// Reads the text of a pipeline file.
///
/// # Errors
/// Every problem that was found, at most 20.
pub fn parse(text: &str) -> Result<Plan, PipelineError> {
    if text.len() > MAX_PIPELINE_BYTES {
        return plan(&PipelineSource::TooLarge { bytes: text.len() as u64 });
    }
    file::read(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn recognised_job() -> PlannedJob {
    PlannedJob {
        name: "test".to_owned(),
        pool: PoolName::default(),
        needs: Vec::new(),
        when: None,
        allow_failure: false,
        retry: Retry::default(),
        spec: JobSpec::new(Work::Recognise, DEFAULT_TIMEOUT_SECONDS),
    }
}
