//! How far each ref of one repository is recorded: one small file per repository.
//!
//! The file is the only memory of the observer. It moves after the dispatcher's `recorded` and never
//! before, so whatever it does not name is announced again. It is never overwritten in silence: a
//! damaged one stops this repository, with a remedy, and no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use messages::{CommitId, RefName, RepositoryName};
use serde::{Deserialize, Serialize};

use crate::error::StateFileError;
use crate::files;
use crate::walk::Update;

/// How many tips of deleted refs are remembered.
///
/// A ref that is deleted and pushed again is a new ref; without its old tip its whole history would
/// look new.
const MAX_GONE: usize = 200;
const VERSION: u32 = 1;
const REMEDY: &str =
    "put a good copy back, or move it away, and then each ref starts anew with its tip (no build is repeated)";

/// What is recorded of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The tip of each ref up to which everything is recorded.
    pub(crate) refs: BTreeMap<RefName, CommitId>,
    /// Tips of refs that were deleted, the latest last.
    pub(crate) gone: Vec<CommitId>,
}

/// A cursor as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    version: u32,
    refs: BTreeMap<RefName, CommitId>,
    #[serde(default)]
    gone: Vec<CommitId>,
}

/// The file of one repository.
#[derive(Debug, Clone)]
pub(crate) struct CursorFile {
    path: PathBuf,
}

impl Cursor {
    /// Reads what [`Cursor::encode`] made, or says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
        if stored.version != VERSION {
            return Err(format!("it has version {}, this program writes {VERSION}", stored.version));
        }
        Ok(Self { refs: stored.refs, gone: stored.gone })
    }

    pub(crate) fn encode(&self) -> Stored {
        Stored { version: VERSION, refs: self.refs.clone(), gone: self.gone.clone() }
    }

    /// Takes over what a move changed.
    pub(crate) fn apply(&mut self, update: Update) {
        match update {
            Update::Set { ref_name, commit } => {
                self.refs.insert(ref_name, commit);
            }
            Update::Forget { ref_name } => {
                let Some(tip) = self.refs.remove(&ref_name) else { return };
                self.gone.retain(|gone| *gone != tip);
                self.gone.push(tip);
                let too_many = self.gone.len().saturating_sub(MAX_GONE);
                self.gone.drain(..too_many);
            }
        }
    }
}

impl CursorFile {
    pub(crate) fn of(data: &Path, repository: &RepositoryName) -> Self {
        // A repository name cannot leave its folder: its alphabet has no '/' and it begins with a letter or digit.
        Self { path: data.join("cursors").join(format!("{repository}.json")) }
    }

    /// What was recorded; `None` if the repository was never seen.
    pub(crate) fn read(&self) -> Result<Option<Cursor>, StateFileError> {
        files::read(&self.path, Cursor::decode, REMEDY)
    }

    /// Replaces what was recorded.
    pub(crate) fn write(&self, cursor: &Cursor) -> Result<(), StateFileError> {
        files::write(&self.path, &cursor.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: &str) -> CommitId {
        digit.repeat(40).parse().expect("an id")
    }

    fn name(text: &str) -> RefName {
        text.parse().expect("a ref name")
    }

    #[test]
    fn what_is_written_is_read_back_with_hostile_names_and_all() {
        let folder = tempfile::tempdir().expect("temp");
        let file = CursorFile::of(folder.path(), &"repo".parse().expect("a name"));
        assert_eq!(file.read().expect("readable"), None);
        let mut cursor = Cursor::default();
        for hostile in ["refs/heads/--upload-pack=x", "refs/heads/$(id);\"<script>", "refs/heads/ü"] {
            cursor.apply(Update::Set { ref_name: name(hostile), commit: commit("a") });
        }
        file.write(&cursor).expect("writable");
        assert_eq!(file.read().expect("readable"), Some(cursor));
    }

    #[test]
    fn a_damaged_file_is_an_error_with_its_name_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("temp");
        let file = CursorFile::of(folder.path(), &"repo".parse().expect("a name"));
        file.write(&Cursor::default()).expect("writable");
        for damaged in ["", "{", "{\"version\": 1, \"refs\": {\"main\": \"x\"}}", "{\"version\": 2, \"refs\": {}}"] {
            std::fs::write(&file.path, damaged).expect("writable");
            let error = file.read().expect_err("damaged").to_string();
            assert!(error.contains("repo.json") && error.contains("move it away"), "{error}");
            assert_eq!(std::fs::read_to_string(&file.path).expect("there"), damaged);
        }
    }

    #[test]
    fn the_tips_of_deleted_refs_are_remembered_up_to_a_bound() {
        let mut cursor = Cursor::default();
        for number in 0..MAX_GONE + 5 {
            let ref_name = name(&format!("refs/heads/{number}"));
            let commit = format!("{number:040x}").parse().expect("an id");
            cursor.apply(Update::Set { ref_name: ref_name.clone(), commit });
            cursor.apply(Update::Forget { ref_name });
        }
        assert!(cursor.refs.is_empty());
        assert_eq!(cursor.gone.len(), MAX_GONE);
        assert_eq!(cursor.gone.last().map(CommitId::as_str), Some(&*format!("{:040x}", MAX_GONE + 4)));
    }
}
