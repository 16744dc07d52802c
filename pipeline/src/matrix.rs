//! One job of the file as several jobs: every combination of the values of its matrix.
//!
//! Values become environment variables and a part of the name, and nothing else: no text of the file
//! is ever put together from them.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::keys::similar;
use crate::reader::{Reader, Value, kind};
use crate::shown::{quoted, steers};
use crate::{MAX_JOBS, MAX_NAME_CHARS, values};

/// The longest value, in characters.
const MAX_VALUE_CHARS: usize = 60;
/// The most values that a remedy lists.
const MAX_LISTED: usize = 10;
/// Lists of combinations that are added and left out; every other key is a variable.
const INCLUDE: &str = "include";
const EXCLUDE: &str = "exclude";

/// One combination: variables with their values, in the order in which the file names the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Combination(Vec<(String, String)>);

impl Combination {
    /// The name of the job that it makes.
    pub(crate) fn name(&self, base: &str) -> String {
        let values: Vec<&str> = self.0.iter().map(|(_, value)| value.as_str()).collect();
        format!("{base} ({})", values.join(", "))
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn value(&self, variable: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
    }
}

/// A variable and its values, with the place where it stands.
struct Axis<'v> {
    name: &'v str,
    values: Vec<&'v str>,
}

/// Every combination, at least one and at most [`MAX_JOBS`]; `None` after a problem.
pub(crate) fn combinations(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    own: &BTreeMap<String, String>,
) -> Option<Vec<Combination>> {
    let table = reader.table(value, "matrix")?;
    let axes = axes(reader, table, own)?;
    let product = axes.iter().try_fold(1_usize, |product, axis| product.checked_mul(axis.values.len()));
    let product = product.filter(|product| *product <= MAX_JOBS);
    let Some(product) = product else {
        let counts: Vec<String> = axes.iter().take(10).map(|axis| axis.values.len().to_string()).collect();
        let message = format!("the matrix has {} combinations, the limit is {MAX_JOBS}", counts.join(" × "));
        reader.problem(&value.span(), message);
        return None;
    };
    let mut all = if axes.is_empty() { Vec::new() } else { (0..product).map(|at| combination(&axes, at)).collect() };
    if let Some(excluded) = table.get(EXCLUDE) {
        exclude(reader, excluded, &axes, &mut all)?;
    }
    if let Some(included) = table.get(INCLUDE) {
        include(reader, included, &axes, own, &mut all)?;
    }
    if all.is_empty() {
        let remedy = "write, for example, matrix = { PYTHON = [\"3.12\", \"3.13\"] }";
        reader.problem_with(&value.span(), "no combination is left in the matrix, so there is nothing to run", remedy);
        return None;
    }
    Some(all)
}

/// The combination with this number: the last variable changes fastest.
fn combination(axes: &[Axis<'_>], mut number: usize) -> Combination {
    let mut pairs = Vec::new();
    for axis in axes.iter().rev() {
        pairs.push((axis.name.to_owned(), axis.values[number % axis.values.len()].to_owned()));
        number /= axis.values.len();
    }
    pairs.reverse();
    Combination(pairs)
}

/// The variables in the order of the file, which is the order in a job's name.
fn axes<'v>(reader: &mut Reader<'_>, table: &'v DeTable<'_>, own: &BTreeMap<String, String>) -> Option<Vec<Axis<'v>>> {
    let mut axes: Vec<(usize, Axis<'v>)> = Vec::new();
    let mut fine = true;
    for (key, value) in table.iter() {
        let name: &str = key.get_ref();
        if matches!(name, INCLUDE | EXCLUDE) {
            continue;
        }
        if reader.is_full() {
            return None;
        }
        fine &= is_variable(reader, name, &key.span(), own);
        let Some(texts) = reader.texts(value, &quoted(name)) else {
            fine = false;
            continue;
        };
        if let DeValue::Array(list) = value.get_ref()
            && (list.is_empty() || list.len() > MAX_JOBS || texts.len() != list.len())
        {
            if list.is_empty() {
                reader.problem(&value.span(), format!("the variable {} has no values", quoted(name)));
            } else if list.len() > MAX_JOBS {
                let message =
                    format!("the variable {} has {} values, the limit is {MAX_JOBS}", quoted(name), list.len());
                reader.problem(&value.span(), message);
            }
            fine = false;
            continue;
        }
        let mut values: Vec<&str> = Vec::new();
        for (text, at) in texts {
            if values.contains(&text) {
                reader.problem(&at, format!("{} has the value {} twice", quoted(name), quoted(text)));
                fine = false;
            }
            fine &= is_value(reader, text, &at);
            values.push(text);
        }
        axes.push((key.span().start, Axis { name, values }));
    }
    axes.sort_by_key(|(place, _)| *place);
    fine.then(|| axes.into_iter().map(|(_, axis)| axis).collect())
}

fn is_variable(reader: &mut Reader<'_>, name: &str, at: &Range<usize>, own: &BTreeMap<String, String>) -> bool {
    if own.contains_key(name) {
        let message = format!("{} stands in the job's env and in its matrix", quoted(name));
        reader.problem_with(at, message, "one of them must go");
        return false;
    }
    values::is_free_variable(reader, name, at)
}

/// Values are shown in names, so they obey the rule for names.
fn is_value(reader: &mut Reader<'_>, text: &str, at: &Range<usize>) -> bool {
    let length = text.chars().count();
    let fine = (1..=MAX_VALUE_CHARS).contains(&length) && !text.chars().any(steers) && text.trim() == text;
    if !fine {
        let rule = format!("1 to {MAX_VALUE_CHARS} characters, none of them invisible, and no space at its ends");
        reader.problem(at, format!("the value {} is not valid in a matrix: it needs {rule}", quoted(text)));
    }
    fine
}

/// The entries of `include` or `exclude`: variables with one value each, in the order of the file.
fn entries<'v, 'i>(
    reader: &mut Reader<'_>,
    value: &'v Value<'i>,
    what: &str,
) -> Option<Vec<(Range<usize>, &'v DeTable<'i>)>> {
    let DeValue::Array(list) = value.get_ref() else {
        let message = format!("{what} must be a list of tables, this is {}", kind(value.get_ref()));
        reader.problem_with(&value.span(), message, format!("write {what} = [{{ OS = \"linux\" }}]"));
        return None;
    };
    if list.len() > MAX_JOBS {
        reader.problem(&value.span(), format!("{what} has {} entries, the limit is {MAX_JOBS}", list.len()));
        return None;
    }
    let mut tables = Vec::new();
    for item in list.iter() {
        tables.push((item.span(), reader.table(item, &format!("each of {what}"))?));
    }
    Some(tables)
}

fn exclude(reader: &mut Reader<'_>, value: &Value<'_>, axes: &[Axis<'_>], all: &mut Vec<Combination>) -> Option<()> {
    for (at, table) in entries(reader, value, EXCLUDE)? {
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            let Some(axis) = axes.iter().find(|axis| axis.name == name) else {
                let names: Vec<&str> = axes.iter().map(|axis| axis.name).collect();
                unknown(reader, &key.span(), &format!("the matrix has no variable {}", quoted(name)), name, &names);
                return None;
            };
            let text = reader.text(value, &format!("the value of {}", quoted(name)))?;
            if !axis.values.contains(&text) {
                let message = format!("{} never has the value {}", quoted(name), quoted(text));
                unknown(reader, &value.span(), &message, text, &axis.values);
                return None;
            }
            wanted.push((name, text));
        }
        if wanted.is_empty() {
            reader.problem(&at, "this entry of exclude names no variable");
            return None;
        }
        all.retain(|combination| !wanted.iter().all(|(name, text)| combination.value(name) == Some(text)));
    }
    Some(())
}

fn unknown(reader: &mut Reader<'_>, at: &Range<usize>, message: &str, given: &str, known: &[&str]) {
    match similar(given, known) {
        Some(meant) => reader.problem_with(at, message, format!("did you mean {}?", quoted(meant))),
        None => {
            let known: Vec<String> = known.iter().take(MAX_LISTED).map(|known| quoted(known)).collect();
            reader.problem_with(at, message, format!("there are: {}", known.join(", ")));
        }
    }
}

fn include(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    axes: &[Axis<'_>],
    own: &BTreeMap<String, String>,
    all: &mut Vec<Combination>,
) -> Option<()> {
    for (at, table) in entries(reader, value, INCLUDE)? {
        let mut pairs: Vec<(usize, &str, &str)> = Vec::new();
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            let text = reader.text(value, &format!("the value of {}", quoted(name)))?;
            let axis = axes.iter().position(|axis| axis.name == name);
            if !is_value(reader, text, &value.span())
                || (axis.is_none() && !is_variable(reader, name, &key.span(), own))
            {
                return None;
            }
            // The matrix's own variables first, then what only this combination has.
            pairs.push((axis.unwrap_or(axes.len() + key.span().start), name, text));
        }
        if let Some(missing) = axes.iter().find(|axis| !pairs.iter().any(|(_, name, _)| *name == axis.name)) {
            reader.problem(&at, format!("this entry of include gives no value to {}", quoted(missing.name)));
            return None;
        }
        if pairs.is_empty() {
            reader.problem(&at, "this entry of include names no variable");
            return None;
        }
        pairs.sort_by_key(|(place, _, _)| *place);
        all.push(Combination(pairs.into_iter().map(|(_, name, text)| (name.to_owned(), text.to_owned())).collect()));
        if all.len() > MAX_JOBS {
            reader.problem(&at, format!("the matrix has {} combinations, the limit is {MAX_JOBS}", all.len()));
            return None;
        }
    }
    Some(())
}

/// The names of a job's members: each once, none too long.
pub(crate) fn names(
    reader: &mut Reader<'_>,
    base: &str,
    all: &[Combination],
    at: &Range<usize>,
) -> Option<Vec<String>> {
    let names: Vec<String> = all.iter().map(|combination| combination.name(base)).collect();
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        reader.problem(at, format!("two combinations of the matrix have the name {}", quoted(pair[0])));
        return None;
    }
    if let Some(long) = names.iter().find(|name| name.chars().count() > MAX_NAME_CHARS) {
        let length = long.chars().count();
        let message = format!("the matrix makes a name of {length} characters, the limit is {MAX_NAME_CHARS}");
        reader.problem_with(at, message, quoted(long));
        return None;
    }
    Some(names)
}
