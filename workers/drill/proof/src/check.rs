//! Holds what was pushed and what ran against what is recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Findings, Kind};
use crate::recorded::{Build, Job};
use crate::truth::{Ran, Truth};

/// Reasons for `errored` that faults alone explain.
const BY_FAULTS: [&str; 1] = ["runner_lost"];

/// One commit on one ref, as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The ref.
    pub ref_name: String,
    /// The commit.
    pub commit: String,
    /// The jobs of its pipeline.
    pub jobs: Vec<Expected>,
}

/// A job and the verdict that it deserves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// `passed` or `failed`.
    pub verdict: &'static str,
    /// The job that must pass first.
    pub needs: Option<String>,
    /// Whether two attempts of it must never overlap.
    pub exclusive: bool,
}

/// All that the check looks at.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was pushed.
    pub pushed: &'a [Pushed],
    /// What the jobs wrote.
    pub truth: &'a Truth,
    /// What Thump recorded in the end, with the attempts of each job.
    pub builds: &'a [Build],
    /// Every verdict of every job that was seen at any time.
    pub seen: &'a BTreeMap<String, BTreeSet<String>>,
}

/// Names every promise that was broken.
pub fn check(evidence: Evidence<'_>) -> Findings {
    let mut findings = Findings::default();
    let ran = evidence.truth.by_job();
    for line in &evidence.truth.unreadable {
        findings.add(Kind::NotRun, format!("a line of the truth cannot be read: {line:?}"));
    }
    let mut builds: BTreeMap<(&str, &str), Vec<&Build>> = BTreeMap::new();
    for build in evidence.builds {
        builds.entry((&build.ref_name, &build.commit)).or_default().push(build);
    }
    let recorded: BTreeSet<&str> =
        evidence.builds.iter().flat_map(|build| &build.jobs).map(|job| job.id.as_str()).collect();
    for pushed in evidence.pushed {
        let of = builds.get(&(pushed.ref_name.as_str(), pushed.commit.as_str())).map_or(&[][..], Vec::as_slice);
        match of {
            [] => findings.add(Kind::Lost, format!("commit {} on {} has no build", pushed.commit, pushed.ref_name)),
            [build] => judge_build(build, pushed, &ran, &mut findings),
            more => findings.add(Kind::Twice, format!("commit {} has {} builds", pushed.commit, more.len())),
        }
    }
    for (job, attempts) in &ran {
        findings.attempts += attempts.len();
        findings.overlaps += attempts.values().filter(|ran| ran.overlap).count();
        if !recorded.contains(job) {
            findings.add(Kind::Lost, format!("job {job} ran and is not recorded"));
        }
    }
    for (job, verdicts) in evidence.seen {
        if verdicts.len() > 1 {
            findings.add(Kind::Twice, format!("job {job} had more than one verdict: {verdicts:?}"));
        }
    }
    findings
}

type RanByJob<'a> = BTreeMap<&'a str, BTreeMap<u32, Ran>>;

fn judge_build(build: &Build, pushed: &Pushed, ran: &RanByJob<'_>, findings: &mut Findings) {
    for expected in &pushed.jobs {
        let of: Vec<&Job> =
            build.jobs.iter().filter(|job| job.name == expected.name && job.retry_of.is_none()).collect();
        match of[..] {
            [] => findings.add(Kind::Lost, format!("job {} of {} is not there", expected.name, pushed.commit)),
            [job] => {
                let deserved = deserved(expected, build);
                judge_job(job, expected, deserved, ran.get(job.id.as_str()), findings);
            }
            _ => findings.add(Kind::Twice, format!("job {} of {} is there twice", expected.name, pushed.commit)),
        }
    }
    if build.state != "done" {
        findings.add(Kind::Stuck, format!("build of {} is {}", pushed.commit, build.state));
    }
}

/// A job is skipped, and rightly so, if the job that it needs did not pass.
fn deserved(expected: &Expected, build: &Build) -> &'static str {
    let needed = expected.needs.as_ref().and_then(|name| build.jobs.iter().find(|job| job.name == *name));
    match needed.and_then(|job| job.verdict.as_deref()) {
        None | Some("passed") => expected.verdict,
        Some(_) => "skipped",
    }
}

fn judge_job(
    job: &Job,
    expected: &Expected,
    deserved: &str,
    ran: Option<&BTreeMap<u32, Ran>>,
    findings: &mut Findings,
) {
    let name = format!("job {} ({})", job.id, job.name);
    for (number, attempt) in ran.into_iter().flatten() {
        if attempt.starts.len() > 1 {
            findings.add(Kind::Twice, format!("{name}: attempt {number} started {} times", attempt.starts.len()));
        }
        if !job.attempts.iter().any(|known| known.number == *number) {
            findings.add(Kind::Unclaimed, format!("{name}: attempt {number}"));
        }
        if expected.exclusive && attempt.overlap {
            findings.add(Kind::Overlapping, format!("{name}: attempt {number} started while another one ran"));
        }
    }
    if expected.exclusive {
        for (number, when) in intersecting(ran) {
            findings
                .add(Kind::Overlapping, format!("{name}: attempt {number} ran on until {when} after the next began"));
        }
    }
    let finished = job.attempts.iter().filter(|attempt| attempt.state == "finished").count();
    if finished > 1 {
        findings.add(Kind::Twice, format!("{name}: {finished} attempts are recorded as finished"));
    }
    let Some(verdict) = job.verdict.as_deref() else {
        findings.add(Kind::Stuck, format!("{name} is {}", job.state));
        return;
    };
    findings.jobs += 1;
    match verdict {
        "errored" if job.reason.as_ref().is_some_and(|reason| BY_FAULTS.contains(&reason.kind.as_str())) => {
            findings.errored += 1;
        }
        verdict if verdict != deserved => {
            let why = job.reason.as_ref().map(|reason| format!(" ({}: {})", reason.kind, reason.detail));
            findings.add(Kind::Wrong, format!("{name} is {verdict}{} instead of {deserved}", why.unwrap_or_default()));
        }
        "passed" | "failed" => {
            let attempt = job.attempt.and_then(|number| ran?.get(&number));
            if attempt.is_none_or(|ran| ran.end.is_none()) {
                let number = job.attempt.unwrap_or(0);
                findings.add(Kind::NotRun, format!("{name} is {verdict} by attempt {number}, which wrote no end"));
            }
        }
        _ => {}
    }
}

/// Attempts whose last line is later than the first line of the next one.
fn intersecting(ran: Option<&BTreeMap<u32, Ran>>) -> Vec<(u32, u64)> {
    let attempts: Vec<(&u32, &Ran)> = ran.into_iter().flatten().collect();
    let pairs = attempts.windows(2);
    pairs
        .filter_map(|pair| {
            let [(number, first), (_, second)] = pair else { return None };
            let (end, start) = (first.end?, *second.starts.first()?);
            (end > start).then_some((**number, end))
        })
        .collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
