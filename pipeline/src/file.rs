//! The shape of the file: which tables it holds and how a job is put together from its keys.
//!
//! What a key means is said in `values`, how jobs refer to each other in `needs`.

use std::collections::BTreeMap;
use std::ops::Range;

use messages::{JobSpec, PoolName, Work};
use toml::de::{DeTable, DeValue};

use crate::keys::{FILE_KEYS, JOB_KEYS, meant};
use crate::needs::{Links, connect};
use crate::problem::PipelineError;
use crate::reader::{Reader, kind};
use crate::shown::quoted;
use crate::{DEFAULT_TIMEOUT_SECONDS, MAX_JOBS, Plan, PlannedJob, syntax, values};

const NO_JOB: &str = "the file describes no job";
const EXAMPLE: &str = "a job looks like this:\n[[job]]\nname = \"test\"\nsteps = [\"make test\"]";

/// A job that was read alone.
struct Draft<'v> {
    links: Links<'v>,
    /// `None` if anything is wrong with it.
    whole: Option<(String, PoolName, JobSpec)>,
}

/// Reads the whole file.
pub(crate) fn read(text: &str) -> Result<Plan, PipelineError> {
    let document = syntax::document(text)?;
    let root = document.get_ref();
    let mut reader = Reader::new(text);
    reader.only_keys(root, &FILE_KEYS, "at the top of the file");
    let mut shared = BTreeMap::new();
    if let Some(value) = root.get("env") {
        let env = values::env(&mut reader, value);
        if values::env_fits(&mut reader, &env, &value.span()) {
            shared = env;
        }
    }
    let drafts = jobs(&mut reader, root, &shared);
    let (links, whole): (Vec<_>, Vec<_>) = drafts.into_iter().map(|draft| (draft.links, draft.whole)).unzip();
    let needs = connect(&mut reader, &links);
    let jobs = whole.into_iter().zip(needs).filter_map(|(whole, needs)| {
        let (name, pool, spec) = whole?;
        Some(PlannedJob { name, pool, needs, spec })
    });
    let plan = Plan { jobs: jobs.collect() };
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(plan) } else { Err(PipelineError { problems }) }
}

fn jobs<'v>(reader: &mut Reader<'_>, root: &'v DeTable<'_>, shared: &BTreeMap<String, String>) -> Vec<Draft<'v>> {
    let Some(list) = root.get("job") else {
        // Where a mistyped or misplaced key was named already, one report is enough.
        let named = root
            .iter()
            .map(|(key, _)| &**key.get_ref())
            .any(|key| meant(key, &FILE_KEYS) == Some("job") || (JOB_KEYS.contains(&key) && !FILE_KEYS.contains(&key)));
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

fn job<'v>(
    reader: &mut Reader<'_>,
    table: &'v DeTable<'_>,
    place: &Range<usize>,
    shared: &BTreeMap<String, String>,
) -> Draft<'v> {
    let given = table.get("name");
    let links = Links {
        name: given.and_then(|name| Some((name.get_ref().as_str()?, name.span()))),
        needs: table.get("needs").and_then(|needs| reader.texts(needs, "needs")).unwrap_or_default(),
    };
    let called = match &links.name {
        Some((name, _)) => format!("in job {}", quoted(name)),
        None => "in a job without a name".to_owned(),
    };
    reader.only_keys(table, &JOB_KEYS, &called);
    // A mistyped key was named already; one report is enough.
    let missing = |key: &str| {
        let is_it = |other: &str| other == key || (!JOB_KEYS.contains(&other) && meant(other, &JOB_KEYS) == Some(key));
        !table.iter().any(|(other, _)| is_it(other.get_ref()))
    };
    if missing("name") {
        reader.problem_with(place, "the job has no name", "add name = \"test\"");
    }
    if missing("steps") {
        reader.problem_with(place, format!("there are no steps {called}"), "add steps = [\"make test\"]");
    }

    let name = given.and_then(|name| values::name(reader, name));
    let steps = table.get("steps").and_then(|steps| values::steps(reader, steps));
    let pool = table.get("pool").map_or_else(|| Some(PoolName::default()), |pool| values::pool(reader, pool));
    let dir = table.get("dir").map_or(Some(None), |dir| values::dir(reader, dir).map(Some));
    let timeout = table.get("timeout");
    let timeout = timeout.map_or(Some(DEFAULT_TIMEOUT_SECONDS), |timeout| values::timeout(reader, timeout));
    let mut env = shared.clone();
    if let Some(own) = table.get("env") {
        env.extend(values::env(reader, own));
        values::env_fits(reader, &env, &own.span());
    }
    let whole = || {
        let spec = JobSpec { work: Work::Steps { steps: steps? }, env, dir: dir?, timeout_seconds: timeout? };
        Some((name?, pool?, spec))
    };
    Draft { links, whole: whole() }
}
