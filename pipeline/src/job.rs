//! What each key of the file means, and what it may hold.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use messages::{JobSpec, MAX_TIMEOUT_SECONDS, PoolName, Step, Work};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{PipelineError, Problem, quoted};
use crate::reader::{Reader, kind, similar};
use crate::{
    DEFAULT_TIMEOUT_SECONDS, MAX_JOBS, MAX_NAME_CHARS, MAX_STEP_BYTES, MAX_STEPS, MAX_VARIABLES, Plan, PlannedJob,
    duration, graph,
};

const FILE_KEYS: [&str; 2] = ["job", "env"];
const JOB_KEYS: [&str; 7] = ["name", "steps", "pool", "dir", "timeout", "needs", "env"];
const EXAMPLE: &str = "a job looks like this: [[job]] name = \"test\" steps = [\"make test\"]";

/// A job whose needs are still names.
struct Draft {
    job: PlannedJob,
    place: Range<usize>,
    needs: Vec<(String, Range<usize>)>,
}

/// Reads the whole file.
pub(crate) fn read(text: &str) -> Result<Plan, PipelineError> {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(cause) => {
            let offset = cause.span().map_or(0, |span| span.start);
            let message = cause.message().lines().collect::<Vec<_>>().join(", ");
            return Err(PipelineError { problems: vec![Problem::at(text, offset, message, None)] });
        }
    };
    let mut reader = Reader::new(text);
    let root = document.get_ref();
    only_file_keys(&mut reader, root);
    let shared = match value(root, "env") {
        Some(env) => environment(&mut reader, env, "env"),
        None => BTreeMap::new(),
    };
    let drafts = jobs(&mut reader, root, &shared);
    let plan = connect(&mut reader, drafts);
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(plan) } else { Err(PipelineError { problems }) }
}

fn value<'v, 'i>(table: &'v DeTable<'i>, name: &str) -> Option<&'v Spanned<DeValue<'i>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

fn only_file_keys(reader: &mut Reader<'_>, root: &DeTable<'_>) {
    reader.only_keys(root, &FILE_KEYS, "at the top of the file");
    if root.is_empty() {
        reader.problem(&(0..0), "the file describes no job", Some(EXAMPLE.to_owned()));
    }
}

fn jobs(reader: &mut Reader<'_>, root: &DeTable<'_>, shared: &BTreeMap<String, String>) -> Vec<Draft> {
    let Some(list) = value(root, "job") else {
        if !root.is_empty() {
            reader.problem(&(0..0), "the file describes no job", Some(EXAMPLE.to_owned()));
        }
        return Vec::new();
    };
    let items = match list.get_ref() {
        DeValue::Array(items) => items,
        DeValue::Table(_) => {
            reader.problem(
                &list.span(),
                "[job] describes one table, but jobs are a list",
                Some("write [[job]]".to_owned()),
            );
            return Vec::new();
        }
        other => {
            reader.problem(
                &list.span(),
                format!("job must be a list of tables, this is {}", kind(other)),
                Some(EXAMPLE.to_owned()),
            );
            return Vec::new();
        }
    };
    if items.is_empty() {
        reader.problem(&list.span(), "the file describes no job", Some(EXAMPLE.to_owned()));
    }
    if items.len() > MAX_JOBS {
        reader.problem(&list.span(), format!("the file describes {} jobs, the limit is {MAX_JOBS}", items.len()), None);
        return Vec::new();
    }
    let mut drafts = Vec::new();
    for item in items.iter() {
        if let Some(table) = reader.table(item, "a job") {
            drafts.extend(job(reader, table, item.span(), shared));
        }
    }
    drafts
}

fn job(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    place: Range<usize>,
    shared: &BTreeMap<String, String>,
) -> Option<Draft> {
    let name = match value(table, "name") {
        Some(name) => job_name(reader, name),
        None => {
            reader.problem(&place, "the job has no name", Some("add name = \"test\"".to_owned()));
            None
        }
    };
    let called = name.as_deref().map_or_else(|| "in a job".to_owned(), |name| format!("in job {}", quoted(name)));
    reader.only_keys(table, &JOB_KEYS, &called);

    let steps = match value(table, "steps") {
        Some(steps) => steps_of(reader, steps),
        None => {
            // A mistyped `steps` was named already; one report is enough.
            let mistyped = table.iter().any(|(key, _)| similar(key.get_ref(), &JOB_KEYS) == Some("steps"));
            if !mistyped {
                reader.problem(
                    &place,
                    format!("there are no steps {called}"),
                    Some("add steps = [\"make test\"]".to_owned()),
                );
            }
            None
        }
    };
    let pool = value(table, "pool").map_or_else(|| Some(PoolName::default()), |pool| pool_name(reader, pool));
    let dir = value(table, "dir").map(|dir| directory(reader, dir));
    let timeout = value(table, "timeout").map_or(Some(DEFAULT_TIMEOUT_SECONDS), |timeout| time_limit(reader, timeout));
    let mut env = shared.clone();
    if let Some(own) = value(table, "env") {
        env.extend(environment(reader, own, "env"));
        if env.len() > MAX_VARIABLES {
            reader.problem(
                &own.span(),
                format!("there are {} environment variables {called}, the limit is {MAX_VARIABLES}", env.len()),
                None,
            );
        }
    }
    let needs = value(table, "needs").and_then(|needs| reader.texts(needs, "needs")).unwrap_or_default();
    let needs = needs.into_iter().map(|(name, at)| (name.to_owned(), at)).collect();
    let dir = match dir {
        Some(None) => return None,
        Some(dir) => dir,
        None => None,
    };
    let spec = JobSpec { work: Work::Steps { steps: steps? }, env, dir, timeout_seconds: timeout? };
    Some(Draft { job: PlannedJob { name: name?, pool: pool?, needs: Vec::new(), spec }, place, needs })
}

fn job_name(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let name = reader.text(value, "name")?;
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME_CHARS || name.chars().any(char::is_control) || name.trim() != name {
        let rule = format!(
            "a job's name needs 1 to {MAX_NAME_CHARS} characters, no control characters and no space at its ends"
        );
        reader.problem(&value.span(), rule, None);
        return None;
    }
    Some(name.to_owned())
}

fn steps_of(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Vec<Step>> {
    let texts = reader.texts(value, "steps")?;
    if texts.is_empty() {
        reader.problem(&value.span(), "steps is empty, so there is nothing to run", None);
        return None;
    }
    if texts.len() > MAX_STEPS {
        reader.problem(&value.span(), format!("there are {} steps, the limit is {MAX_STEPS}", texts.len()), None);
        return None;
    }
    let mut steps = Vec::new();
    for (run, at) in texts {
        let wrong = if run.trim().is_empty() {
            Some("a step is empty".to_owned())
        } else if run.len() > MAX_STEP_BYTES {
            Some(format!("a step has {} bytes, the limit is {MAX_STEP_BYTES}: put it into a script", run.len()))
        } else if run.contains('\0') {
            Some("a step holds a NUL character, which no shell can read".to_owned())
        } else {
            None
        };
        match wrong {
            Some(message) => reader.problem(&at, message, None),
            None => steps.push(Step { run: run.to_owned() }),
        }
    }
    Some(steps)
}

fn pool_name(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<PoolName> {
    let text = reader.text(value, "pool")?;
    match text.parse() {
        Ok(pool) => Some(pool),
        Err(_) => {
            let message = format!("pool {} is not valid: it needs 1 to 63 of a-z, 0-9 and '-'", quoted(text));
            reader.problem(&value.span(), message, None);
            None
        }
    }
}

fn directory(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let dir = reader.text(value, "dir")?;
    let parts_fit = dir.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255);
    let whole_fits = dir.len() <= 1024 && !dir.contains(['\\', '\0']) && !dir.chars().any(char::is_control);
    if !(parts_fit && whole_fits) {
        let message = format!("dir {} must be a folder inside the repository, such as \"web/app\"", quoted(dir));
        reader.problem(&value.span(), message, None);
        return None;
    }
    Some(dir.to_owned())
}

fn time_limit(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<u64> {
    if let DeValue::Integer(number) = value.get_ref() {
        let meant = format!("write timeout = \"{number}s\" or \"{number}m\"");
        reader.problem(&value.span(), "timeout needs a unit", Some(meant));
        return None;
    }
    let text = reader.text(value, "timeout")?;
    match duration::seconds(text) {
        Some(seconds @ 1..=MAX_TIMEOUT_SECONDS) => Some(seconds),
        Some(_) => {
            reader.problem(&value.span(), format!("timeout {} must be from 1s to 7d", quoted(text)), None);
            None
        }
        None => {
            let message = format!("timeout {} is no duration", quoted(text));
            reader.problem(&value.span(), message, Some("write \"90s\", \"30m\", \"2h\" or \"1h30m\"".to_owned()));
            None
        }
    }
}

fn environment(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, what: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(table) = reader.table(value, what) else { return variables };
    for (key, value) in table.iter() {
        let name: &str = key.get_ref();
        let mut letters = name.chars();
        let well_formed = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !well_formed {
            reader.problem(&key.span(), format!("{} is no name for an environment variable", quoted(name)), None);
            continue;
        }
        if name.starts_with("THUMP_") {
            reader.problem(
                &key.span(),
                format!("{} is reserved: names beginning with THUMP_ are set by the runner", quoted(name)),
                None,
            );
            continue;
        }
        let Some(text) = reader.text(value, name) else { continue };
        if text.contains('\0') || text.len() > MAX_STEP_BYTES {
            reader.problem(
                &value.span(),
                format!("the value of {name} holds a NUL character or has more than {MAX_STEP_BYTES} bytes"),
                None,
            );
            continue;
        }
        variables.insert(name.to_owned(), text.to_owned());
    }
    if variables.len() > MAX_VARIABLES {
        reader.problem(
            &value.span(),
            format!("there are {} environment variables, the limit is {MAX_VARIABLES}", variables.len()),
            None,
        );
    }
    variables
}

/// Turns the names in `needs` into positions.
fn connect(reader: &mut Reader<'_>, drafts: Vec<Draft>) -> Plan {
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (position, draft) in drafts.iter().enumerate() {
        if positions.insert(draft.job.name.clone(), position).is_some() {
            reader.problem(&draft.place, format!("there is another job named {}", quoted(&draft.job.name)), None);
        }
    }
    let names: Vec<&str> = drafts.iter().map(|draft| draft.job.name.as_str()).collect();
    let mut needs: Vec<Vec<usize>> = Vec::new();
    for draft in &drafts {
        let mut found: Vec<usize> = Vec::new();
        for (name, at) in &draft.needs {
            match positions.get(name) {
                Some(position) if found.contains(position) => {
                    reader.problem(at, format!("job {} is needed twice", quoted(name)), None);
                }
                Some(position) => found.push(*position),
                None => {
                    let suggestion = similar(name, &names).map(|meant| format!("did you mean {}?", quoted(meant)));
                    reader.problem(at, format!("there is no job named {}", quoted(name)), suggestion);
                }
            }
        }
        needs.push(found);
    }
    if let Some(circle) = graph::circle(&needs) {
        let mut path: Vec<String> = circle.iter().take(6).map(|job| quoted(names[*job])).collect();
        path.push(if circle.len() > 6 { "…".to_owned() } else { quoted(names[circle[0]]) });
        let at = drafts[circle[0]].needs.first().map_or_else(|| drafts[circle[0]].place.clone(), |(_, at)| at.clone());
        reader.problem(&at, format!("the jobs need each other in a circle: {}", path.join(" needs ")), None);
    }
    let jobs = drafts.into_iter().zip(needs).map(|(draft, needs)| PlannedJob { needs, ..draft.job }).collect();
    Plan { jobs }
}
