//! Turns the names in `needs` into jobs: each must exist, once, and together they form no circle.
//!
//! Apart because it looks at all jobs together, after each was read alone. The members of a matrix have
//! the same needs, so circles are looked for among the jobs of the file.

use std::collections::HashMap;
use std::ops::Range;

use crate::keys::similar;
use crate::reader::Reader;
use crate::shown::quoted;
use crate::{MAX_JOBS, graph};

/// The most jobs of a circle that are named.
const MAX_NAMED: usize = 4;

/// A text of the file and its place.
pub(crate) type Placed<'v> = (&'v str, Range<usize>);

/// What a job is called and which it needs. A job with problems of its own takes part, so that those who
/// need it are not told that it does not exist.
pub(crate) struct Links<'v> {
    pub(crate) name: Option<Placed<'v>>,
    pub(crate) needs: Vec<Placed<'v>>,
    /// The names of its members; empty for a job without a matrix, or one whose matrix has a problem.
    pub(crate) members: Vec<String>,
    pub(crate) is_matrix: bool,
}

/// A job that another one needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Needed {
    /// Its position in the file.
    pub(crate) job: usize,
    /// One member of its matrix; all of it if `None`.
    pub(crate) member: Option<usize>,
}

/// What each job needs.
pub(crate) fn connect(reader: &mut Reader<'_>, jobs: &[Links<'_>]) -> Vec<Vec<Needed>> {
    let names = names(reader, jobs);
    let needs: Vec<Vec<Needed>> = jobs.iter().map(|job| needed(reader, job, jobs, &names)).collect();
    circles(reader, jobs, &needs);
    needs
}

/// What every name means; a name that is given twice is a problem.
fn names<'v>(reader: &mut Reader<'_>, jobs: &'v [Links<'v>]) -> HashMap<&'v str, Needed> {
    let mut first: HashMap<&str, (Needed, &Range<usize>)> = HashMap::new();
    for (position, job) in jobs.iter().enumerate() {
        let Some((name, at)) = &job.name else { continue };
        let members = job.members.iter().enumerate().map(|(member, name)| (name.as_str(), Some(member)));
        for (name, member) in std::iter::once((*name, None)).chain(members) {
            match first.get(name) {
                Some((_, other)) => {
                    let line = reader.line(other);
                    reader.problem(at, format!("there is another job named {}, in line {line}", quoted(name)));
                }
                None => {
                    first.insert(name, (Needed { job: position, member }, at));
                }
            }
        }
    }
    first.into_iter().map(|(name, (needed, _))| (name, needed)).collect()
}

fn needed(reader: &mut Reader<'_>, job: &Links<'_>, jobs: &[Links<'_>], names: &HashMap<&str, Needed>) -> Vec<Needed> {
    let mut found: Vec<Needed> = Vec::new();
    if let Some((_, at)) = job.needs.get(MAX_JOBS) {
        reader.problem(at, format!("a job needs {} others, the limit is {MAX_JOBS}", job.needs.len()));
        return found;
    }
    for (name, at) in &job.needs {
        if reader.is_full() {
            break;
        }
        match names.get(name) {
            Some(needed) if found.iter().any(|other| overlap(*other, *needed)) => {
                reader.problem(at, format!("job {} is needed twice", quoted(name)));
            }
            Some(needed) => found.push(*needed),
            None if is_member_of_a_broken_matrix(name, jobs) => {}
            None => missing(reader, name, at, jobs, names),
        }
    }
    found
}

/// Whether both name the same job, or one of them a member of the other.
fn overlap(one: Needed, other: Needed) -> bool {
    one.job == other.job && (one.member == other.member || one.member.is_none() || other.member.is_none())
}

/// The mistake in the matrix is told already.
fn is_member_of_a_broken_matrix(name: &str, jobs: &[Links<'_>]) -> bool {
    jobs.iter().filter(|job| job.is_matrix && job.members.is_empty()).any(|job| {
        let rest = job.name.as_ref().and_then(|(base, _)| name.strip_prefix(base));
        rest.is_some_and(|rest| rest.starts_with(" ("))
    })
}

fn missing(reader: &mut Reader<'_>, name: &str, at: &Range<usize>, jobs: &[Links<'_>], names: &HashMap<&str, Needed>) {
    let message = format!("there is no job named {}", quoted(name));
    let base = name.split_once(" (").map(|(base, _)| base);
    let matrix = jobs.iter().find(|job| job.is_matrix && job.name.as_ref().map(|(name, _)| *name) == base);
    let mut known: Vec<&str> = match matrix {
        Some(job) => job.members.iter().map(String::as_str).collect(),
        None => names.keys().copied().collect(),
    };
    // The map has no order, and the same file shall give the same report.
    known.sort_unstable();
    match (similar(name, &known), matrix.and_then(|job| job.members.first())) {
        (Some(meant), _) => reader.problem_with(at, message, format!("did you mean {}?", quoted(meant))),
        (None, Some(member)) => {
            reader.problem_with(at, message, format!("its matrix makes {} and others", quoted(member)));
        }
        (None, None) => reader.problem(at, message),
    }
}

/// Tells each circle once, at the need with which its first job enters it.
fn circles(reader: &mut Reader<'_>, jobs: &[Links<'_>], needs: &[Vec<Needed>]) {
    let mut edges: Vec<Vec<usize>> = needs.iter().map(|needs| needs.iter().map(|need| need.job).collect()).collect();
    while !reader.is_full() {
        let Some(circle) = graph::circle(&edges) else { break };
        let name = |job: usize| jobs[job].name.as_ref().map_or("", |(name, _)| *name);
        let mut path: Vec<String> = circle.iter().take(MAX_NAMED).map(|job| quoted(name(*job))).collect();
        path.push(if circle.len() > MAX_NAMED { "…".to_owned() } else { quoted(name(circle[0])) });
        let next = circle[1 % circle.len()];
        let enters = |need: &str| need == name(next) || jobs[next].members.iter().any(|member| member == need);
        if let Some((_, at)) = jobs[circle[0]].needs.iter().find(|(need, _)| enters(need)) {
            reader.problem(at, format!("the jobs need each other in a circle: {}", path.join(" needs ")));
        }
        for job in circle {
            edges[job].clear();
        }
    }
}
