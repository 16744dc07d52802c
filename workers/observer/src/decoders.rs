//! What the observer reads and others wrote, opened for the fuzzing of it and for nothing else.
//!
//! Each function decodes; where there is an encoder too, it gives back what was decoded, encoded again.

use messages::CommitId;

use crate::cursor::Cursor;
use crate::{describe, files, git_program, names, resolve};

/// The cursor file of a repository.
pub fn cursor(bytes: &[u8]) -> Option<Vec<u8>> {
    files::encode(&Cursor::decode(bytes).ok()?.encode()).ok()
}

/// The list of the repositories' names.
pub fn names(bytes: &[u8]) -> Option<Vec<u8>> {
    files::encode(&names::decode(bytes).ok()?).ok()
}

/// The names that a location may get, the plainest first.
pub fn names_for(location: &str) -> Vec<String> {
    names::candidates(location)
}

/// A repository elsewhere, as it was typed; and the same as messages show it.
pub fn location(text: &str) -> (bool, String) {
    (resolve::elsewhere(text).is_some_and(|found| found.is_ok()), resolve::without_password(text))
}

/// What the git program wrote to its standard error, as people see it.
pub fn complaint(bytes: &[u8]) -> String {
    git_program::readable(bytes)
}

/// A commit's message and its author's name as they travel: the subject and the name.
pub fn commit_text(bytes: &[u8]) -> (String, String) {
    (describe::subject(bytes), describe::name(bytes))
}

/// A commit's id as libgit2 reads it.
pub fn object_id(id: &CommitId) -> bool {
    crate::tips::oid(id.as_str()).is_ok()
}
