//! What the runner reads and others wrote, opened for the fuzzing of it and for nothing else.
//!
//! Each function decodes; where there is an encoder too, it gives back what was decoded, encoded again.

use messages::{AttemptNumber, JobId, RunnerName};

use crate::supervisor::orders::{Order, Report};
use crate::{folder, recognise, spool};

/// A result in the spool.
pub fn result(bytes: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&spool::decode(bytes).ok()?).ok()
}

/// The name of a folder in the spool.
pub fn spool_folder(name: &str) -> Option<(JobId, AttemptNumber)> {
    spool::attempt_of(name)
}

/// The file that keeps a runner's name.
pub fn identity(text: &str) -> Option<RunnerName> {
    folder::kept_name(text)
}

/// The file that counts the lives of a runner.
pub fn lives(bytes: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&folder::last_life(bytes)?).ok()
}

/// The name that a runner gets on a host.
pub fn name_on(host: &str, number: usize, random: u16) -> RunnerName {
    folder::new_name(host, number, random)
}

/// A line from the runner to its supervisor.
pub fn order(line: &str) -> Option<String> {
    serde_json::to_string(&serde_json::from_str::<Order>(line).ok()?).ok()
}

/// A line from the supervisor to its runner.
pub fn report(line: &str) -> Option<String> {
    serde_json::to_string(&serde_json::from_str::<Report>(line).ok()?).ok()
}

/// A `package.json` of the tested repository: the steps that it leads to.
pub fn package(text: &str) -> Option<Vec<String>> {
    recognise::steps_of_package(text, false)
}

/// A makefile of the tested repository: whether it has a target `test`.
pub fn makefile(text: &str) -> bool {
    recognise::has_test_target(text)
}
