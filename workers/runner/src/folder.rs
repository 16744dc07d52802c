//! The folder of one runner: the first free `runner-<n>` of the data folder, locked while we live.
//!
//! Any number of runners may start on one data folder. The lock makes it safe to remove what a former
//! life left; the name kept beside it lets the dispatcher know the runner again, and the count of lives
//! lets it tell what a dead life said from what the living one says.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use messages::{Birth, RunnerName};
use uuid::Uuid;

/// More than any machine has; ends the search on a file system that refuses every lock.
const MAX_RUNNERS: usize = 10_000;

/// A locked folder. The lock goes with the value, also when the process is killed.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) name: RunnerName,
    pub(crate) birth: Birth,
    _lock: File,
}

/// Takes the first folder that no other runner holds.
pub(crate) fn take(data: &Path, name: Option<RunnerName>) -> io::Result<Folder> {
    for number in 1..=MAX_RUNNERS {
        let path = data.join(format!("runner-{number}"));
        fs::create_dir_all(&path)?;
        let lock = File::options().create(true).append(true).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                let name = match name {
                    Some(name) => name,
                    None => known_name(&path, number)?,
                };
                let birth = count_life(&path)?;
                // Absolute, because the supervisor starts elsewhere.
                return Ok(Folder { path: path.canonicalize()?, name, birth, _lock: lock });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
    }
    Err(io::Error::other(format!("{MAX_RUNNERS} runners hold a folder there, or locks do not work")))
}

fn known_name(folder: &Path, number: usize) -> io::Result<RunnerName> {
    let file = folder.join("name");
    if let Some(name) = fs::read_to_string(&file).ok().and_then(|text| kept_name(&text)) {
        return Ok(name);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = new_name(&host, number, rand::random());
    let beside = folder.join("name.new");
    fs::write(&beside, format!("{name}\n"))?;
    fs::rename(&beside, &file)?;
    Ok(name)
}

/// Counts the life that begins, on the disk before anything is said: a number that came twice would be
/// worse than none.
fn count_life(folder: &Path) -> io::Result<Birth> {
    let file = folder.join("lives");
    let last = fs::read(&file).ok().and_then(|text| last_life(&text));
    // Without a legible count it is another folder to the dispatcher, and nothing is concluded from numbers.
    let birth = last.map_or_else(
        || Birth { folder: Uuid::new_v4(), number: 1 },
        |last| Birth { number: last.number.saturating_add(1), ..last },
    );
    let beside = folder.join("lives.new");
    let mut new = File::create(&beside)?;
    new.write_all(&serde_json::to_vec(&birth)?)?;
    new.sync_all()?;
    fs::rename(&beside, &file)?;
    File::open(folder)?.sync_all()?;
    Ok(birth)
}

/// Reads the file that keeps the name.
pub(crate) fn kept_name(text: &str) -> Option<RunnerName> {
    text.trim().parse().ok()
}

/// Reads the count of lives.
pub(crate) fn last_life(text: &[u8]) -> Option<Birth> {
    serde_json::from_slice(text).ok()
}

/// The random end keeps two machines of one name, or two data folders of one machine, apart.
pub(crate) fn new_name(host: &str, number: usize, random: u16) -> RunnerName {
    let plain: String = host
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .skip_while(|c| *c == '-')
        .take(40)
        .collect();
    let host = if plain.is_empty() { "runner" } else { plain.as_str() };
    match format!("{host}-{number}-{random:04x}").parse() {
        Ok(name) => name,
        Err(cause) => unreachable!("only allowed letters are left: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runners_never_share_a_folder_and_keep_their_names() {
        let data = tempfile::tempdir().expect("temporary folder");
        let first = take(data.path(), None).expect("takes");
        let second = take(data.path(), None).expect("takes");
        assert_ne!(first.path, second.path);
        assert_ne!(first.name, second.name);
        let (path, name) = (first.path.clone(), first.name.clone());
        drop(first);
        let again = take(data.path(), None).expect("takes");
        assert_eq!((again.path, again.name), (path, name));
    }

    #[test]
    fn lives_of_one_folder_are_counted_and_a_damaged_count_begins_another_order() {
        let data = tempfile::tempdir().expect("temporary folder");
        let births: Vec<Birth> = (0..3).map(|_| take(data.path(), None).expect("takes").birth).collect();
        assert!(births[0].is_before(births[1]) && births[1].is_before(births[2]));
        let other = take(data.path(), None).expect("takes");
        let path = other.path.clone();
        drop(other);
        fs::write(path.join("lives"), "{\"folder\":").expect("writable");
        let damaged = take(data.path(), None).expect("takes").birth;
        assert!(!damaged.is_before(births[2]) && !births[2].is_before(damaged));
    }

    #[test]
    fn any_host_name_gives_a_legal_name() {
        for host in ["Büro.local", "", "---", &"x".repeat(300), "(none)"] {
            assert!(!new_name(host, 9999, u16::MAX).as_str().is_empty());
        }
        assert_eq!(new_name("North.example", 2, 0x1f).as_str(), "north-example-2-001f");
    }
}
