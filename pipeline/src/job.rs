//! One job as the file describes it: its keys put together, before its needs are looked up.
//!
//! What the value of a key may be is said in `values` and `matrix`, how jobs refer to each other in `needs`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use messages::{FINALLY_TIMEOUT_SECONDS, JobSpec, PoolName, ReportSources, Work};
use toml::de::DeTable;

use crate::condition::When;
use crate::keys::meant;
use crate::matrix::{self, Combination};
use crate::needs::Links;
use crate::reader::{Reader, Value};
use crate::shown::quoted;
use crate::table::JOB;
use crate::{DEFAULT_TIMEOUT_SECONDS, Retry, reports, values, when};

/// A job that was read alone.
pub(crate) struct Draft<'v> {
    pub(crate) links: Links<'v>,
    /// `None` if anything is wrong with it.
    pub(crate) whole: Option<Whole>,
}

/// A job without mistakes.
pub(crate) struct Whole {
    pub(crate) pool: PoolName,
    pub(crate) when: Option<Arc<When>>,
    pub(crate) allow_failure: bool,
    pub(crate) retry: Retry,
    pub(crate) spec: JobSpec,
    /// Its members' names and what each has besides; a job without a matrix has one of its own name.
    pub(crate) members: Vec<(String, Option<Combination>)>,
}

/// Reads a job; `shared` are the variables of the file.
pub(crate) fn job<'v>(
    reader: &mut Reader<'_>,
    table: &'v DeTable<'_>,
    place: &Range<usize>,
    shared: &BTreeMap<String, String>,
) -> Draft<'v> {
    let given = table.get("name");
    let placed = given.and_then(|name| Some((name.get_ref().as_str()?, name.span())));
    let called = match &placed {
        Some((name, _)) => format!("in job {}", quoted(name)),
        None => "in a job without a name".to_owned(),
    };
    reader.only_keys(table, JOB, &called);
    // A mistyped key was named already; one report is enough.
    let missing = |key: &str| {
        let is_known = |other: &str| JOB.iter().any(|key| key.name == other);
        let is_it = |other: &str| other == key || (!is_known(other) && meant(other, JOB) == Some(key));
        !table.iter().any(|(other, _)| is_it(other.get_ref()))
    };
    if missing("name") {
        reader.problem_with(place, "the job has no name", "add name = \"test\"");
    }
    if missing("steps") {
        reader.problem_with(place, format!("there are no steps {called}"), "add steps = [\"make test\"]");
    }

    let name = given.and_then(|name| values::name(reader, name));
    let steps = table.get("steps").and_then(|steps| values::steps(reader, steps, "steps"));
    let pool = table.get("pool").map_or_else(|| Some(PoolName::default()), |pool| values::pool(reader, pool));
    let dir = table.get("dir").map_or(Some(None), |dir| values::dir(reader, dir).map(Some));
    let timeout = table.get("timeout");
    let timeout = timeout.map_or(Some(DEFAULT_TIMEOUT_SECONDS), |timeout| values::duration(reader, timeout, "timeout"));
    let silence = table.get("silence").map(|value| values::duration(reader, value, "silence"));
    let shell = table.get("shell").map_or_else(|| Some(Vec::new()), |value| values::shell(reader, value));
    let finally = table.get("finally");
    let finally = finally.map_or_else(|| Some(Vec::new()), |value| values::steps(reader, value, "finally"));
    let clean_up = table.get("finally_timeout").map(|value| {
        if table.get("finally").is_none() {
            reader.problem(&value.span(), "finally_timeout limits the steps of finally, and there are none");
        }
        values::duration(reader, value, "finally_timeout")
    });
    let when = table.get("when").map_or(Some(None), |when| when::when(reader, when).map(Arc::new).map(Some));
    let exclusive =
        table.get("exclusive").map_or(Some(false), |exclusive| values::flag(reader, exclusive, "exclusive"));
    let allowed = table.get("allow_failure");
    let allow_failure = allowed.map_or(Some(false), |value| values::flag(reader, value, "allow_failure"));
    let retry = table.get("retry").map_or_else(|| Some(Retry::default()), |value| values::retry(reader, value));
    let reports =
        table.get("reports").map_or_else(|| Some(ReportSources::default()), |value| reports::sources(reader, value));
    let own = table.get("env").map(|env| values::env(reader, env)).unwrap_or_default();
    let mut env = shared.clone();
    env.extend(own.clone());
    if let Some(given) = table.get("env") {
        values::env_fits(reader, &env, &given.span());
    }
    let members = members(reader, table.get("matrix"), name.as_deref(), &own, &env);
    let links = Links {
        name: placed,
        needs: table.get("needs").and_then(|needs| reader.texts(needs, "needs")).unwrap_or_default(),
        // One without a matrix can be needed by its name even if that has a problem of its own.
        members: members.iter().flatten().filter_map(|(name, own)| own.as_ref().map(|_| name.clone())).collect(),
        is_matrix: table.get("matrix").is_some(),
    };
    let whole = || {
        let mut spec = JobSpec::new(Work::Steps { steps: steps? }, timeout?);
        spec.env = env;
        spec.dir = dir?;
        spec.exclusive = exclusive?;
        spec.reports = reports?;
        spec.shell = shell?;
        spec.finally = finally?;
        spec.silence_seconds = match silence {
            Some(given) => Some(given?),
            None => None,
        };
        spec.finally_timeout_seconds = match clean_up {
            Some(given) => given?,
            None => FINALLY_TIMEOUT_SECONDS,
        };
        name?;
        Some(Whole { pool: pool?, when: when?, allow_failure: allow_failure?, retry: retry?, spec, members: members? })
    };
    Draft { links, whole: whole() }
}

/// The members of a job, each with its name; `None` after a problem.
fn members(
    reader: &mut Reader<'_>,
    given: Option<&Value<'_>>,
    name: Option<&str>,
    own: &BTreeMap<String, String>,
    env: &BTreeMap<String, String>,
) -> Option<Vec<(String, Option<Combination>)>> {
    let Some(value) = given else { return Some(vec![(name?.to_owned(), None)]) };
    let combinations = matrix::combinations(reader, value, own)?;
    if !combinations.iter().all(|combination| values::env_fits_with(reader, env, combination, &value.span())) {
        return None;
    }
    let names = matrix::names(reader, name?, &combinations, &value.span())?;
    Some(names.into_iter().zip(combinations.into_iter().map(Some)).collect())
}
