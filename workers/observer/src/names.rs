//! Names for locations, kept for ever: builds, routing keys and cursors hang on them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use messages::{MessageId, RepositoryName};
use serde::{Deserialize, Serialize};

use crate::error::{Problem, StateFileError};
use crate::files;

const VERSION: u32 = 1;
const REMEDY: &str = "mend it, or move it away, and then every repository is named anew";
/// Room for a suffix below the 100 characters of a name.
const MAX_BASE: usize = 80;

/// Which location has which name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: u32,
    repositories: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: RepositoryName,
    location: String,
}

/// The list of names, locked while it is open.
#[derive(Debug)]
pub(crate) struct Names {
    path: PathBuf,
    stored: Stored,
    changed: bool,
    _lock: File,
}

impl Names {
    pub(crate) fn open(data: &Path) -> Result<Self, StateFileError> {
        let path = data.join("repositories.json");
        let lock = path.with_extension("lock");
        let failed = |cause| StateFileError::Io { what: "lock", path: lock.clone(), cause };
        fs::create_dir_all(data).map_err(failed)?;
        let file = File::options().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
        file.lock().map_err(failed)?;
        let stored =
            files::read(&path, decode, REMEDY)?.unwrap_or(Stored { version: VERSION, repositories: Vec::new() });
        Ok(Self { path, stored, changed: false, _lock: file })
    }

    /// The name of a location: the one it has, else the one that is wished, else one made of its path.
    pub(crate) fn name(&mut self, location: &str, wish: Option<RepositoryName>) -> Result<RepositoryName, Problem> {
        if let Some(entry) = self.stored.repositories.iter().find(|entry| entry.location == location) {
            return match wish {
                Some(wish) if wish != entry.name => Err(Problem::KnownAs { name: entry.name.to_string() }),
                _ => Ok(entry.name.clone()),
            };
        }
        let name = match wish {
            Some(wish) => match self.owner(wish.as_str()) {
                Some(owner) => {
                    return Err(Problem::NameTaken { name: wish.to_string(), location: owner.to_owned() });
                }
                None => wish,
            },
            None => {
                candidates(location).into_iter().find(|name| self.owner(name).is_none()).unwrap_or_default().parse()?
            }
        };
        self.stored.repositories.push(Entry { name: name.clone(), location: location.to_owned() });
        self.changed = true;
        Ok(name)
    }

    fn owner(&self, name: &str) -> Option<&str> {
        self.stored.repositories.iter().find(|entry| entry.name.as_str() == name).map(|entry| entry.location.as_str())
    }

    pub(crate) fn save(self) -> Result<(), StateFileError> {
        if self.changed { files::write(&self.path, &self.stored) } else { Ok(()) }
    }
}

/// Reads the list, or says what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Stored, String> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
    if stored.version != VERSION {
        return Err(format!("it has version {}, this program writes {VERSION}", stored.version));
    }
    Ok(stored)
}

/// Names to try, the plainest first; the last ones are unique to the location.
pub(crate) fn candidates(location: &str) -> Vec<String> {
    let mut parts = location.rsplit(['/', ':']).filter(|part| !part.is_empty());
    let last = parts.next().unwrap_or_default();
    let base = slug(last.strip_suffix(".git").filter(|base| !base.is_empty()).unwrap_or(last));
    let mut names = vec![base.clone()];
    if let Some(parent) = parts.next() {
        names.push(slug(&format!("{}-{base}", slug(parent))));
    }
    let hash = MessageId::of(&["repository", location]).0.simple().to_string();
    names.push(format!("{base}-{}", &hash[..8]));
    names.push(format!("{}-{hash}", &base[..base.len().min(40)]));
    names
}

/// The nearest text that is a valid name.
fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(plain).collect();
    let text = text.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    if text.is_empty() { "repository".to_owned() } else { text[..text.len().min(MAX_BASE)].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_keeps_its_name_and_two_of_one_base_name_differ() {
        let data = tempfile::tempdir().expect("temp");
        let mut names = Names::open(data.path()).expect("new");
        let mut name = |location: &str| names.name(location, None).expect("a name").to_string();
        assert_eq!(name("/srv/a/Repo.git"), "repo");
        assert_eq!(name("/srv/b/Repo.git"), "b-repo");
        assert_eq!(name("https://host/b/repo"), format!("repo-{}", &hash("https://host/b/repo")[..8]));
        assert_eq!(name("/srv/Ünï cödé; $(rm)"), "n--c-d-----rm");
        assert_eq!(name("/srv/.git"), "git");
        assert_eq!(name("user@host:--x"), "x");
        assert_eq!(name("/"), "repository");
        assert_eq!(name(&format!("/{}", "long".repeat(100))).len(), MAX_BASE);
        names.save().expect("written");
        let mut again = Names::open(data.path()).expect("readable");
        assert_eq!(again.name("/srv/b/Repo.git", None).expect("known").as_str(), "b-repo");
    }

    fn hash(location: &str) -> String {
        MessageId::of(&["repository", location]).0.simple().to_string()
    }

    #[test]
    fn a_wish_is_granted_unless_it_would_mix_two_histories() {
        let data = tempfile::tempdir().expect("temp");
        let mut names = Names::open(data.path()).expect("new");
        let wish = |text: &str| Some(text.parse().expect("a name"));
        assert_eq!(names.name("/a", wish("mine")).expect("free").as_str(), "mine");
        assert!(matches!(names.name("/b", wish("mine")), Err(Problem::NameTaken { .. })));
        assert!(matches!(names.name("/a", wish("other")), Err(Problem::KnownAs { .. })));
        assert_eq!(names.name("/a", wish("mine")).expect("the same").as_str(), "mine");
    }

    #[test]
    fn a_damaged_list_is_an_error_that_names_the_file() {
        let data = tempfile::tempdir().expect("temp");
        std::fs::write(data.path().join("repositories.json"), "{").expect("written");
        let error = Names::open(data.path()).expect_err("damaged").to_string();
        assert!(error.contains("repositories.json"), "{error}");
    }
}
