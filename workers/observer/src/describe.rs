//! One commit of an open repository as the message that announces it.
//!
//! Everything whose size or form an author decides is capped or made plain here. The pipeline file is
//! read from the commit's tree, never through the file system, so a link in it leads nowhere.

use git2::{FileMode, ObjectType, Oid, Repository};
use jiff::Timestamp;
use messages::{
    Author, ChangedPaths, CommitId, CommitSeen, Envelope, Incarnation, InvalidName, MAX_BODY_BYTES, MAX_PIPELINE_BYTES,
    MAX_SUBJECT_BYTES, Malformed, ObserverName, PipelineSource, RepositorySource, TreeId,
};

use crate::changed::changed_paths;
use crate::tips::oid;
use crate::walk::{Sighting, commit_id};

/// Where the pipeline stands in a tree.
const PIPELINE_FILE: &str = ".thump.toml";
const MAX_AUTHOR_BYTES: usize = 200;
/// An octopus may have any number of arms; nobody reads more of them.
const MAX_PARENTS: usize = 1000;

/// Who announces what: the parts that are the same for every commit of a repository.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    pub(crate) observer: ObserverName,
    pub(crate) incarnation: Incarnation,
    pub(crate) repository: RepositorySource,
}

/// Reads a commit. An error with [`git2::ErrorCode::NotFound`] may mean that it is gone.
pub(crate) fn describe(
    repository: &Repository,
    announcer: &Announcer,
    sighting: &Sighting,
) -> Result<CommitSeen, git2::Error> {
    let commit = repository.find_commit(oid(sighting.commit.as_str())?)?;
    let tree = commit.tree()?;
    // In a shallow repository the parent may be absent: then nothing is known of what changed.
    let changed = match commit.parent_count() {
        0 => changed_paths(repository, None, &tree),
        _ => match commit.parent(0).and_then(|parent| parent.tree()) {
            Ok(before) => changed_paths(repository, Some(&before), &tree),
            Err(_) => Ok(ChangedPaths { paths: Vec::new(), truncated: true }),
        },
    };
    let parents: Result<Vec<CommitId>, _> = commit.parent_ids().take(MAX_PARENTS).map(commit_id).collect();
    let author = commit.author();
    Ok(CommitSeen {
        observer: announcer.observer.clone(),
        incarnation: announcer.incarnation,
        repository: announcer.repository.clone(),
        ref_name: sighting.ref_name.clone(),
        commit: sighting.commit.clone(),
        tree: tree_id(tree.id())?,
        parents: parents?,
        author: Author { name: name(author.name_bytes()), email: name(author.email_bytes()) },
        subject: subject(commit.message_bytes()),
        committed_at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        changed_paths: changed.unwrap_or(ChangedPaths { paths: Vec::new(), truncated: true }),
        pipeline: pipeline(repository, &tree)?,
        arrival: sighting.arrival,
        skipped_before: sighting.skipped_before,
    })
}

/// Packs the message; if it is too large, paths are left out until it is not.
pub(crate) fn pack(mut seen: CommitSeen) -> Result<Envelope, Malformed> {
    let id = seen.message_id();
    let mut envelope = loop {
        match Envelope::of(&seen, id) {
            Err(Malformed::TooLarge { bytes }) if !seen.changed_paths.paths.is_empty() => {
                // Each round leaves out at least what is too much, and ends with none at all.
                let too_much = bytes.saturating_sub(MAX_BODY_BYTES);
                let paths = &mut seen.changed_paths;
                let mut cut = 0;
                while cut <= too_much {
                    let Some(path) = paths.paths.pop() else { break };
                    // As it is written: JSON may need six bytes for one.
                    cut += serde_json::to_string(&path).map_or(path.len(), |written| written.len());
                }
                paths.truncated = true;
            }
            other => break other?,
        }
    };
    // The trace of a commit has one name, whoever announces it how often.
    let trace = id.0.simple().to_string();
    envelope.traceparent = Some(format!("00-{trace}-{}-01", &trace[..16]));
    Ok(envelope)
}

fn pipeline(repository: &Repository, tree: &git2::Tree<'_>) -> Result<PipelineSource, git2::Error> {
    let Some(entry) = tree.get_name(PIPELINE_FILE) else { return Ok(PipelineSource::Missing) };
    let unreadable = |why: &str| Ok(PipelineSource::Unreadable { why: why.to_owned() });
    let mode = entry.filemode();
    if mode == i32::from(FileMode::Link) {
        return unreadable("a symbolic link; only a regular file is read");
    }
    match entry.kind() {
        Some(ObjectType::Tree) => return unreadable("a folder; only a regular file is read"),
        Some(ObjectType::Commit) => return unreadable("a submodule; only a regular file is read"),
        _ if mode == i32::from(FileMode::Blob) || mode == i32::from(FileMode::BlobExecutable) => {}
        _ => return unreadable("no regular file"),
    }
    // The size stands in the object's head: a blob of a gigabyte is never unpacked.
    let (bytes, _) = repository.odb()?.read_header(entry.id())?;
    if bytes > MAX_PIPELINE_BYTES {
        return Ok(PipelineSource::TooLarge { bytes: bytes as u64 });
    }
    let blob = repository.find_blob(entry.id())?;
    match std::str::from_utf8(blob.content()) {
        Ok(text) => Ok(PipelineSource::File { text: text.to_owned() }),
        Err(cause) => unreadable(&format!("not UTF-8 text (byte {})", cause.valid_up_to())),
    }
}

fn tree_id(id: Oid) -> Result<TreeId, git2::Error> {
    id.to_string().parse().map_err(|cause: InvalidName| git2::Error::from_str(&cause.to_string()))
}

/// The subject in a commit's message.
pub(crate) fn subject(message: &[u8]) -> String {
    plain(first_line(message), MAX_SUBJECT_BYTES)
}

/// A name or address in a commit's author line.
pub(crate) fn name(bytes: &[u8]) -> String {
    plain(bytes, MAX_AUTHOR_BYTES)
}

fn first_line(message: &[u8]) -> &[u8] {
    let message = message.trim_ascii_start();
    message.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// Text from outside, cut between characters; bytes that are no text become the replacement character.
fn plain(bytes: &[u8], most: usize) -> String {
    // Nothing beyond the cut is worth converting, and a character has at most four bytes.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(most + 4)]);
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
