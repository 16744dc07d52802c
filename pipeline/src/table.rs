//! Every key that a file may hold, once.
//!
//! The reader refuses what does not stand here. Only what is executed stands here: a key of a later
//! version is unknown until it works.

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
}

const fn key(name: &'static str) -> Key {
    Key { name }
}

/// At the top of the file.
pub(crate) static FILE: &[Key] = &[key("job"), key("env")];

/// In a job.
pub(crate) static JOB: &[Key] = &[
    key("name"),
    key("steps"),
    key("pool"),
    key("dir"),
    key("timeout"),
    key("silence"),
    key("shell"),
    key("finally"),
    key("finally_timeout"),
    key("exclusive"),
    key("needs"),
    key("env"),
    key("matrix"),
    key("when"),
    key("allow_failure"),
    key("retry"),
    key("reports"),
];

/// In a job's `retry`.
pub(crate) static RETRY: &[Key] = &[key("failed"), key("timed_out"), key("errored")];

/// In a job's `when`.
pub(crate) static WHEN: &[Key] = &[key("branch"), key("tag"), key("path"), key("event")];
