//! The shape of the file: which tables it holds, and how its jobs become a plan.

use std::collections::BTreeMap;
use std::ops::Range;

use messages::Work;
use toml::de::{DeTable, DeValue};

use crate::job::{Draft, Whole, job};
use crate::keys::meant;
use crate::matrix::Combination;
use crate::needs::{Needed, connect};
use crate::problem::PipelineError;
use crate::reader::{Reader, kind};
use crate::shown::quoted;
use crate::table::{FILE, JOB};
use crate::{MAX_JOBS, MAX_PLAN_BYTES, Plan, PlannedJob, syntax, values};

const NO_JOB: &str = "the file describes no job";
const EXAMPLE: &str = "a job looks like this:\n[[job]]\nname = \"test\"\nsteps = [\"make test\"]";

/// Reads the whole file.
pub(crate) fn read(text: &str) -> Result<Plan, PipelineError> {
    let document = syntax::document(text)?;
    let root = document.get_ref();
    let mut reader = Reader::new(text);
    reader.only_keys(root, FILE, "at the top of the file");
    let mut shared = BTreeMap::new();
    if let Some(value) = root.get("env") {
        let env = values::env(&mut reader, value);
        if values::env_fits(&mut reader, &env, &value.span()) {
            shared = env;
        }
    }
    let drafts = jobs(&mut reader, root, &shared);
    let (links, whole): (Vec<_>, Vec<_>) = drafts.into_iter().map(|draft| (draft.links, draft.whole)).unzip();
    let place = root.get("job").map_or(0..0, |list| list.span());
    let mut plan = Plan { jobs: Vec::new() };
    // Too many are not looked at together: that would cost the square of their number.
    if is_bounded(&mut reader, &whole, &place) {
        let needs = connect(&mut reader, &links);
        plan.jobs = expand(whole, &needs);
    }
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(plan) } else { Err(PipelineError { problems }) }
}

/// How many jobs each of the file is. One with a problem counts as one, since the plan is thrown away.
fn count(job: Option<&Whole>) -> usize {
    job.map_or(1, |job| job.members.len())
}

/// Whether all members of all jobs together are within the limits.
fn is_bounded(reader: &mut Reader<'_>, whole: &[Option<Whole>], place: &Range<usize>) -> bool {
    let total: usize = whole.iter().map(|job| count(job.as_ref())).sum();
    if total > MAX_JOBS {
        let message = format!("the file describes {total} jobs, members of matrices included; the limit is {MAX_JOBS}");
        reader.problem(place, message);
        return false;
    }
    let size = |job: &Whole| {
        let Work::Steps { steps } = &job.spec.work else { return 0 };
        let env: usize = job.spec.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        job.members.len() * (env + steps.iter().chain(&job.spec.finally).map(|step| step.run.len()).sum::<usize>())
    };
    let bytes: usize = whole.iter().flatten().map(size).sum();
    if bytes > MAX_PLAN_BYTES {
        let message = format!(
            "steps and variables of all jobs have {bytes} bytes, members of matrices included; the limit is {MAX_PLAN_BYTES}"
        );
        reader.problem_with(place, message, "put long steps into scripts of the repository");
        return false;
    }
    true
}

/// Every job with its members.
fn expand(whole: Vec<Option<Whole>>, needs: &[Vec<Needed>]) -> Vec<PlannedJob> {
    let counts: Vec<usize> = whole.iter().map(|job| count(job.as_ref())).collect();
    // The first position of each job's members.
    let first: Vec<usize> = counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect();
    let mut jobs = Vec::new();
    for (whole, needs) in whole.into_iter().zip(needs) {
        let Some(Whole { pool, when, allow_failure, retry, spec, members }) = whole else { continue };
        let mut positions: Vec<usize> = Vec::new();
        for need in needs {
            match need.member {
                Some(member) => positions.push(first[need.job] + member),
                None => positions.extend(first[need.job]..first[need.job] + counts[need.job]),
            }
        }
        for (name, combination) in members {
            let mut spec = spec.clone();
            let own = combination.iter().flat_map(Combination::variables);
            spec.env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
            let (pool, needs, when) = (pool.clone(), positions.clone(), when.clone());
            jobs.push(PlannedJob { name, pool, needs, when, allow_failure, retry, spec });
        }
    }
    jobs
}

fn jobs<'v>(reader: &mut Reader<'_>, root: &'v DeTable<'_>, shared: &BTreeMap<String, String>) -> Vec<Draft<'v>> {
    let Some(list) = root.get("job") else {
        // Where a mistyped or misplaced key was named already, one report is enough.
        let is_in = |key: &str, keys: &[crate::table::Key]| keys.iter().any(|known| known.name == key);
        let named = root
            .iter()
            .map(|(key, _)| &**key.get_ref())
            .any(|key| meant(key, FILE) == Some("job") || (is_in(key, JOB) && !is_in(key, FILE)));
        if !named {
            reader.problem_with(&(0..0), NO_JOB, EXAMPLE);
        }
        return Vec::new();
    };
    match list.get_ref() {
        DeValue::Array(items) if items.is_empty() => reader.problem_with(&list.span(), NO_JOB, EXAMPLE),
        DeValue::Array(items) if items.len() > MAX_JOBS => {
            let message = format!("the file describes {} jobs, the limit is {MAX_JOBS}", items.len());
            reader.problem(&list.span(), message);
        }
        DeValue::Array(items) => {
            let mut drafts = Vec::new();
            for item in items.iter() {
                if let Some(table) = reader.table(item, "a job") {
                    drafts.push(job(reader, table, &item.span(), shared));
                }
            }
            return drafts;
        }
        DeValue::Table(table) => {
            let remedy = match table.iter().next() {
                Some((key, value)) if key.get_ref() != "env" && matches!(value.get_ref(), DeValue::Table(_)) => {
                    format!("write [[job]] and name = {}", quoted(key.get_ref()))
                }
                _ => "write [[job]], with two brackets".to_owned(),
            };
            reader.problem_with(&list.span(), "jobs are a list, and [job] is a single table", remedy);
        }
        other => {
            reader.problem_with(
                &list.span(),
                format!("job must be a list of tables, this is {}", kind(other)),
                EXAMPLE,
            );
        }
    }
    Vec::new()
}
