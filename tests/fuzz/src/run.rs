//! Gives one decoder its inputs, and notes what became of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::mutate::Mutator;
use crate::{Decoder, Seen};

/// What one input may cost, in processor time: a machine that is busy elsewhere proves nothing. A program
/// that was not optimised may take ten times as long, and is only there to find panics.
pub const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });
/// A decoder that finds this much is broken enough.
const MOST_FINDS: usize = 20;

/// What became of one decoder's inputs.
#[derive(Debug, Default)]
pub struct Row {
    /// The decoder.
    pub name: &'static str,
    /// How many there were.
    pub inputs: u64,
    /// How many it took.
    pub accepted: u64,
    /// How many it refused.
    pub rejected: u64,
    /// The processor time of the slowest one.
    pub slowest: Duration,
    /// Panics, broken promises, and inputs above [`LIMIT`].
    pub finds: Vec<Find>,
}

/// An input that must be looked at.
#[derive(Debug)]
pub struct Find {
    /// What it did.
    pub what: String,
    /// What it was.
    pub input: Vec<u8>,
}

/// Runs the kept inputs of former finds, the examples, and then `inputs` changed ones.
pub fn run(decoder: &Decoder, inputs: u64, seed: u64) -> Row {
    let mut first = kept(decoder.name);
    first.extend(decoder.examples.iter().cloned());
    let mut row = Row { name: decoder.name, ..Row::default() };
    for input in first {
        look(decoder, input, &mut row);
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(0);
    let parts = std::thread::scope(|scope| {
        let work = || {
            let mut part = Row::default();
            let mut mutator = Mutator::new(decoder.name, &decoder.examples, seed);
            while part.finds.len() < MOST_FINDS {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= inputs {
                    break;
                }
                look(decoder, mutator.input(number), &mut part);
            }
            part
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    for part in parts {
        row.inputs += part.inputs;
        row.accepted += part.accepted;
        row.rejected += part.rejected;
        row.slowest = row.slowest.max(part.slowest);
        row.finds.extend(part.finds);
    }
    row
}

/// What was found before and mended, in `finds/<decoder>/`.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/finds")).join(name);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    files.flatten().filter_map(|file| std::fs::read(file.path()).ok()).collect()
}

fn look(decoder: &Decoder, input: Vec<u8>, row: &mut Row) {
    let begun = processor_time();
    let seen = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(&input)));
    let took = processor_time().saturating_sub(begun);
    row.inputs += 1;
    row.slowest = row.slowest.max(took);
    let what = match seen {
        Ok(Seen::Accepted) => {
            row.accepted += 1;
            None
        }
        Ok(Seen::Rejected) => {
            row.rejected += 1;
            None
        }
        Err(panic) => Some(words(&*panic)),
    };
    let what = what.or_else(|| (took > LIMIT).then(|| format!("it took {took:?}")));
    if let Some(what) = what {
        row.finds.push(Find { what, input });
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither part is negative on this clock.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_else(|| "it panicked".into())
}
