//! How the command ends: a code for scripts and one line for people.

use std::process::ExitCode;

/// The end of a command. The codes are fixed, because scripts build on them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    code: u8,
    message: Option<String>,
}

impl Exit {
    /// Everything is good.
    pub(crate) const GOOD: Self = Self { code: 0, message: None };
    /// A build ended otherwise than good. The verdicts were printed already.
    pub(crate) const NOT_GOOD: Self = Self { code: 1, message: None };
    /// The time a person gave ran out.
    pub(crate) const TIMED_OUT: Self = Self { code: 124, message: None };
    /// A signal ended it before its work was done.
    pub(crate) const INTERRUPTED: Self = Self { code: 130, message: None };

    /// Something of ours failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: Some(message.into()) }
    }

    /// What was typed cannot work.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: Some(message.into()) }
    }

    /// Something is not reachable, or does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { code: 3, message: Some(message.into()) }
    }

    /// The message, if there is one.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Names what the message is about.
    pub(crate) fn about(self, what: &str) -> Self {
        let message = self.message.map(|message| format!("{what}: {message}"));
        Self { message, ..self }
    }

    /// The end of a command that did several things: good only if no problem came up, else with the code
    /// of the first one and every message.
    pub(crate) fn of_many(problems: impl Iterator<Item = Self>) -> Result<Self, Self> {
        let mut problems = problems;
        let Some(first) = problems.next() else { return Ok(Self::GOOD) };
        let mut messages: Vec<String> = first.message.into_iter().collect();
        messages.extend(problems.filter_map(|problem| problem.message));
        Err(Self { code: first.code, message: Some(messages.join("\nerror: ")) })
    }

    /// Says the message and gives the code.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(message) = &self.message {
            use std::io::Write;
            // A closed stderr is no reason for another exit code.
            drop(writeln!(std::io::stderr(), "error: {message}"));
        }
        ExitCode::from(self.code)
    }
}
