//! What the value of each key may be.
//!
//! Every function notes what is wrong and gives `None` then. The limits are in the messages.

use std::collections::BTreeMap;
use std::ops::Range;

use messages::{MAX_TIMEOUT_SECONDS, PoolName, Step};
use toml::de::DeValue;

use crate::matrix::Combination;
use crate::reader::{Reader, Value, kind};
use crate::shown::{is_plain, quoted, steers};
use crate::table::RETRY;
use crate::{MAX_NAME_CHARS, MAX_RETRIES, MAX_STEP_BYTES, MAX_STEPS, MAX_VARIABLE_BYTES, MAX_VARIABLES, Retry};

/// Names that the runner sets for every step, whatever the pipeline says.
const SET_BY_RUNNER: [&str; 3] = ["CI", "THUMP", "TMPDIR"];
/// The longest folder, in bytes; each part of it at most 255, as file systems have it.
const MAX_DIR_BYTES: usize = 1024;

pub(crate) fn name(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let name = reader.text(value, "name")?;
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME_CHARS || name.chars().any(steers) || name.trim() != name {
        let rule = format!("1 to {MAX_NAME_CHARS} characters, none of them invisible, and no space at its ends");
        reader.problem(&value.span(), format!("the name {} is not valid: it needs {rule}", quoted(name)));
        return None;
    }
    Some(name.to_owned())
}

pub(crate) fn steps(reader: &mut Reader<'_>, value: &Value<'_>, what: &str) -> Option<Vec<Step>> {
    let texts = reader.texts(value, what)?;
    if matches!(value.get_ref(), DeValue::Array(list) if list.is_empty()) {
        reader.problem_with(
            &value.span(),
            format!("{what} is empty, so there is nothing to run"),
            format!("write {what} = [\"make test\"]"),
        );
        return None;
    }
    if texts.len() > MAX_STEPS {
        reader.problem(&value.span(), format!("there are {} steps, the limit is {MAX_STEPS}", texts.len()));
        return None;
    }
    for (run, at) in &texts {
        if run.trim().is_empty() {
            reader.problem(at, "a step is empty");
        } else if run.len() > MAX_STEP_BYTES {
            let message = format!("a step has {} bytes, the limit is {MAX_STEP_BYTES}", run.len());
            reader.problem_with(at, message, "put it into a script of the repository");
        } else if run.contains('\0') {
            reader.problem(at, "a step holds a NUL character, which no shell can read");
        }
    }
    Some(texts.into_iter().map(|(run, _)| Step { run: run.to_owned() }).collect())
}

pub(crate) fn pool(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<PoolName> {
    let text = reader.text(value, "pool")?;
    match text.parse() {
        Ok(pool) => Some(pool),
        Err(messages::InvalidName { needs, .. }) => {
            reader.problem(&value.span(), format!("the pool {} is not valid: it needs {needs}", quoted(text)));
            None
        }
    }
}

pub(crate) fn dir(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let dir = reader.text(value, "dir")?;
    if is_inside(dir) {
        return Some(dir.to_owned());
    }
    let message = format!("dir {} must be a folder inside the repository, such as \"web/app\"", quoted(dir));
    let plain: Vec<&str> = dir.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let plain = plain.join("/");
    if plain.is_empty() && !dir.starts_with('/') {
        reader.problem_with(&value.span(), message, "without dir, steps run in the checkout itself");
    } else if is_inside(&plain) && is_plain(&plain) {
        reader.problem_with(&value.span(), message, format!("write dir = {}", quoted(&plain)));
    } else {
        reader.problem(&value.span(), message);
    }
    None
}

fn is_inside(dir: &str) -> bool {
    dir.len() <= MAX_DIR_BYTES
        && dir.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
        && !dir.contains('\\')
        && !dir.chars().any(char::is_control)
}

/// Yes or no.
pub(crate) fn flag(reader: &mut Reader<'_>, value: &Value<'_>, what: &str) -> Option<bool> {
    if let DeValue::Boolean(flag) = value.get_ref() {
        return Some(*flag);
    }
    let message = format!("{what} must be true or false, this is {}", kind(value.get_ref()));
    reader.problem_with(&value.span(), message, format!("write {what} = true, without quotes"));
    None
}

/// The most parts of a shell, and the longest, in bytes.
const MAX_SHELL_PARTS: usize = 10;
const MAX_SHELL_BYTES: usize = 256;

/// Program and arguments, to which a step is given as the last one.
pub(crate) fn shell(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Vec<String>> {
    if let DeValue::String(text) = value.get_ref() {
        let program = if is_plain(text) && !text.is_empty() { text } else { "bash" };
        let message = "shell must be a list: the program, and its arguments before the step";
        reader.problem_with(&value.span(), message, format!("write shell = [{}, \"-e\", \"-c\"]", quoted(program)));
        return None;
    }
    let parts = reader.texts(value, "shell")?;
    if parts.is_empty() || parts.len() > MAX_SHELL_PARTS {
        let message = format!("shell has {} parts, it must have 1 to {MAX_SHELL_PARTS}", parts.len());
        reader.problem_with(&value.span(), message, "write shell = [\"bash\", \"-e\", \"-c\"]");
        return None;
    }
    let unfit = |part: &str| part.len() > MAX_SHELL_BYTES || part.contains('\0');
    if let Some((part, at)) = parts.iter().find(|(part, _)| unfit(part)) {
        let rule = format!("up to {MAX_SHELL_BYTES} bytes and no NUL character");
        reader.problem(at, format!("the part {} of shell is not valid: it needs {rule}", quoted(part)));
        return None;
    }
    let (program, at) = &parts[0];
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        let message = format!("{} is no program for shell", quoted(program));
        reader.problem_with(at, message, "it needs a name that is found in PATH, or a whole path");
        return None;
    }
    Some(parts.iter().map(|(part, _)| (*part).to_owned()).collect())
}

/// Seconds.
pub(crate) fn duration(reader: &mut Reader<'_>, value: &Value<'_>, what: &str) -> Option<u64> {
    if let DeValue::Integer(number) = value.get_ref() {
        let remedy = format!("write {what} = \"{number}s\" or {what} = \"{number}m\"");
        reader.problem_with(&value.span(), format!("{what} needs a unit"), remedy);
        return None;
    }
    let text = reader.text(value, what)?;
    let seconds = crate::duration::seconds(text);
    match seconds {
        Some(1..=MAX_TIMEOUT_SECONDS) => return seconds,
        Some(_) => reader.problem(&value.span(), format!("{what} {} must be from 1s to 7d", quoted(text))),
        None => reader.problem_with(
            &value.span(),
            format!("{what} {} is no duration", quoted(text)),
            "write it like \"90s\", \"30m\", \"2h\" or \"1h30m\"",
        ),
    }
    None
}

pub(crate) fn retry(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Retry> {
    if let DeValue::Integer(_) = value.get_ref() {
        let message = "retry must say after which kind of failure, this is a number";
        reader.problem_with(&value.span(), message, "write retry = { failed = 1, timed_out = 1, errored = 2 }");
        return None;
    }
    let table = reader.table(value, "retry")?;
    reader.only_keys(table, RETRY, "in retry");
    let mut times = |key: &str| match table.get(key) {
        None => Some(None),
        Some(value) => times(reader, value, &format!("retry.{key}")).map(Some),
    };
    let (failed, timed_out, errored) = (times("failed"), times("timed_out"), times("errored"));
    Some(Retry { failed: failed?.unwrap_or(0), timed_out: timed_out?.unwrap_or(0), errored: errored? })
}

fn times(reader: &mut Reader<'_>, value: &Value<'_>, what: &str) -> Option<u8> {
    let DeValue::Integer(number) = value.get_ref() else {
        reader.problem(&value.span(), format!("{what} must be a number, this is {}", kind(value.get_ref())));
        return None;
    };
    let times = u8::from_str_radix(number.as_str(), number.radix()).ok().filter(|times| *times <= MAX_RETRIES);
    if times.is_none() {
        reader.problem(&value.span(), format!("{what} must be from 0 to {MAX_RETRIES}"));
    }
    times
}

/// The variables that are well formed; the others are problems.
pub(crate) fn env(reader: &mut Reader<'_>, value: &Value<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(table) = reader.table(value, "env") else { return variables };
    for (key, value) in table.iter() {
        let name: &str = key.get_ref();
        if !is_free_variable(reader, name, &key.span()) {
            continue;
        }
        if let Some(text) = reader.text(value, &format!("the value of {}", quoted(name))) {
            if text.contains('\0') {
                let message = format!("the value of {} holds a NUL character, which no process can read", quoted(name));
                reader.problem(&value.span(), message);
            }
            variables.insert(name.to_owned(), text.to_owned());
        }
    }
    variables
}

/// Whether the variables of one job are within the limits. Those of the file are copied into every job,
/// so their size counts two hundredfold in the ledger.
pub(crate) fn env_fits(reader: &mut Reader<'_>, env: &BTreeMap<String, String>, at: &Range<usize>) -> bool {
    let bytes = env.iter().map(|(name, value)| name.len() + value.len()).sum();
    fits(reader, env.len(), bytes, at)
}

/// [`env_fits`] with what a combination of the matrix adds.
pub(crate) fn env_fits_with(
    reader: &mut Reader<'_>,
    env: &BTreeMap<String, String>,
    more: &Combination,
    at: &Range<usize>,
) -> bool {
    let mut count = env.len();
    let mut bytes: usize = env.iter().map(|(name, value)| name.len() + value.len()).sum();
    for (name, value) in more.variables() {
        if !env.contains_key(name) {
            count += 1;
            bytes += name.len();
        }
        bytes += value.len();
    }
    fits(reader, count, bytes, at)
}

fn fits(reader: &mut Reader<'_>, count: usize, bytes: usize, at: &Range<usize>) -> bool {
    if count > MAX_VARIABLES {
        let message = format!("a job has {count} environment variables, the limit is {MAX_VARIABLES}");
        reader.problem(at, message);
    } else if bytes > MAX_VARIABLE_BYTES {
        let message = format!("a job's environment variables have {bytes} bytes, the limit is {MAX_VARIABLE_BYTES}");
        reader.problem(at, message);
    }
    count <= MAX_VARIABLES && bytes <= MAX_VARIABLE_BYTES
}

/// Whether a file may set the environment variable `name`; if not, that is noted.
pub(crate) fn is_free_variable(reader: &mut Reader<'_>, name: &str, at: &Range<usize>) -> bool {
    if !is_variable_name(name) {
        let message = format!("{} is no name for an environment variable", quoted(name));
        reader.problem_with(at, message, "it needs letters, digits and '_', and no digit at its beginning");
        return false;
    }
    if name.starts_with("THUMP_") {
        let message = format!("{} is reserved: names that begin with THUMP_ are set by the runner", quoted(name));
        reader.problem(at, message);
        return false;
    }
    if SET_BY_RUNNER.contains(&name) {
        reader.problem(at, format!("{} is set by the runner, for every step", quoted(name)));
        return false;
    }
    true
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
