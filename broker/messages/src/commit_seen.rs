//! observer -> dispatcher: a commit exists on a ref.
//!
//! It carries the pipeline text, because the observer has the repository open and the dispatcher must
//! not need git. Everything whose size an author decides is capped here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CommitId, Incarnation, Message, MessageId, ObserverName, RefName, RepositorySource, TreeId};

/// The longest pipeline text that travels, in bytes. A longer one is [`PipelineSource::TooLarge`].
pub const MAX_PIPELINE_BYTES: usize = 64 * 1024;
/// The most changed paths that travel. A cut list says so and matches every path filter.
pub const MAX_CHANGED_PATHS: usize = 1000;
/// The longest subject line that travels, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 500;

/// A commit that the observer saw, announced until [`crate::Recorded`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSeen {
    /// Who saw it, and must be told that it is recorded.
    pub observer: ObserverName,
    /// The life of the observer that announces.
    pub incarnation: Incarnation,
    /// Where the commit can be fetched.
    pub repository: RepositorySource,
    /// The ref that led to it.
    #[serde(rename = "ref")]
    pub ref_name: RefName,
    /// The commit.
    pub commit: CommitId,
    /// Its tree, by which equal content can be recognised.
    pub tree: TreeId,
    /// Its parents, first parent first.
    pub parents: Vec<CommitId>,
    /// Who wrote it. Text from outside; never a ground for trust.
    pub author: Author,
    /// First line of the message, cut to [`MAX_SUBJECT_BYTES`].
    pub subject: String,
    /// The committer's time.
    pub committed_at: Timestamp,
    /// What differs from the first parent.
    pub changed_paths: ChangedPaths,
    /// The pipeline file at this commit.
    pub pipeline: PipelineSource,
    /// Why it is announced.
    pub arrival: Arrival,
    /// How many older commits of the same move lie beyond the walk's bound and are not announced.
    #[serde(default)]
    pub skipped_before: u64,
}

/// The author line of a commit, as git has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name, cut to 200 bytes.
    pub name: String,
    /// The address, cut to 200 bytes.
    pub email: String,
}

/// Paths that a commit changed against its first parent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedPaths {
    /// At most [`MAX_CHANGED_PATHS`] paths, `/` between the parts.
    pub paths: Vec<String>,
    /// Whether there are more. Then every path filter matches, so that nothing is left untested.
    pub truncated: bool,
}

/// The pipeline file `.thump.toml` as it stands in the commit's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PipelineSource {
    /// A regular file with this text.
    File {
        /// The text, at most [`MAX_PIPELINE_BYTES`].
        text: String,
    },
    /// There is none: the runner looks for a usual test command.
    Missing,
    /// There is one, but it is longer than [`MAX_PIPELINE_BYTES`].
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// There is one, but it is a link, a folder or not UTF-8.
    Unreadable {
        /// Why, in words that continue "the pipeline file is ...".
        why: String,
    },
}

/// Why a commit is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// The tip of a ref that is seen for the first time.
    Initial,
    /// It came with a move of the ref.
    Pushed,
    /// The ref moved to a commit that it had before; its build is shown again, not repeated.
    MovedBack,
}

impl CommitSeen {
    /// The same for every announcement of the same commit on the same ref.
    pub fn message_id(&self) -> MessageId {
        MessageId::of(&["commit", self.repository.name.as_str(), self.ref_name.as_str(), self.commit.as_str()])
    }
}

impl Message for CommitSeen {
    const KIND: &'static str = "commit_seen";
}
