//! Turns the names in `needs` into positions: each must exist, once, and together they form no circle.
//!
//! Apart because it looks at all jobs together, after each was read alone.

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
}

/// The positions that each job needs.
pub(crate) fn connect(reader: &mut Reader<'_>, jobs: &[Links<'_>]) -> Vec<Vec<usize>> {
    let positions = positions(reader, jobs);
    let names: Vec<&str> = jobs.iter().filter_map(|job| Some(job.name.as_ref()?.0)).collect();
    let needs: Vec<Vec<usize>> = jobs.iter().map(|job| needed(reader, job, &positions, &names)).collect();
    circles(reader, jobs, needs.clone());
    needs
}

fn positions<'v>(reader: &mut Reader<'_>, jobs: &[Links<'v>]) -> HashMap<&'v str, usize> {
    let mut first: HashMap<&str, (usize, &Range<usize>)> = HashMap::new();
    for (position, job) in jobs.iter().enumerate() {
        let Some((name, at)) = &job.name else { continue };
        match first.get(name) {
            Some((_, other)) => {
                let line = reader.line(other);
                reader.problem(at, format!("there is another job named {}, in line {line}", quoted(name)));
            }
            None => {
                first.insert(name, (position, at));
            }
        }
    }
    first.into_iter().map(|(name, (position, _))| (name, position)).collect()
}

fn needed(reader: &mut Reader<'_>, job: &Links<'_>, positions: &HashMap<&str, usize>, names: &[&str]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    if let Some((_, at)) = job.needs.get(MAX_JOBS) {
        reader.problem(at, format!("a job needs {} others, the limit is {MAX_JOBS}", job.needs.len()));
        return found;
    }
    for (name, at) in &job.needs {
        if reader.is_full() {
            break;
        }
        match positions.get(name) {
            Some(position) if found.contains(position) => {
                reader.problem(at, format!("job {} is needed twice", quoted(name)));
            }
            Some(position) => found.push(*position),
            None => {
                let message = format!("there is no job named {}", quoted(name));
                match similar(name, names) {
                    Some(meant) => reader.problem_with(at, message, format!("did you mean {}?", quoted(meant))),
                    None => reader.problem(at, message),
                }
            }
        }
    }
    found
}

/// Tells each circle once, at the need with which its first job enters it.
fn circles(reader: &mut Reader<'_>, jobs: &[Links<'_>], mut needs: Vec<Vec<usize>>) {
    while !reader.is_full() {
        let Some(circle) = graph::circle(&needs) else { break };
        let name = |job: usize| jobs[job].name.as_ref().map_or("", |(name, _)| *name);
        let mut path: Vec<String> = circle.iter().take(MAX_NAMED).map(|job| quoted(name(*job))).collect();
        path.push(if circle.len() > MAX_NAMED { "…".to_owned() } else { quoted(name(circle[0])) });
        let next = name(circle[1 % circle.len()]);
        if let Some((_, at)) = jobs[circle[0]].needs.iter().find(|(need, _)| *need == next) {
            reader.problem(at, format!("the jobs need each other in a circle: {}", path.join(" needs ")));
        }
        for job in circle {
            needs[job].clear();
        }
    }
}
