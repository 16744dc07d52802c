//! The file `thump.toml` as it was typed.
//!
//! Apart because it is read from text alone, and is fuzzed so. Knows neither the other layers nor what is right.

use serde::Deserialize;

/// The file `thump.toml`. Every key is optional; an unknown one is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) broker: Option<String>,
    pub(crate) store: Option<String>,
    pub(crate) listen: Option<String>,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) slots: Option<u16>,
    pub(crate) pool: Option<String>,
    pub(crate) drain_seconds: Option<u64>,
    pub(crate) max_log_bytes: Option<u64>,
    pub(crate) repositories: Option<Vec<String>>,
    pub(crate) branches: Option<Vec<String>>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) tips_only: Option<bool>,
    pub(crate) max_commits: Option<usize>,
    pub(crate) poll_seconds: Option<u64>,
}

impl File {
    /// Reads the text of a settings file.
    pub(crate) fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
