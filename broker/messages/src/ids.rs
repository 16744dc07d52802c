//! Names and numbers that cannot be mixed up.
//!
//! Each is checked once, where it enters; everything behind may rely on it. Repository, pool, runner
//! and observer names become parts of routing keys, queue names and folders, so their alphabet is small.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name or id that does not have the form it needs. A retry does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: it needs {needs}")]
pub struct InvalidName {
    /// Which kind of name was read.
    pub what: &'static str,
    /// What was given, cut to 100 characters.
    pub given: String,
    /// The rule it breaks.
    pub needs: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, given: &str, needs: &'static str) -> Self {
        Self { what, given: given.chars().take(100).collect(), needs }
    }
}

/// Declares a string type whose only way in is its check.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $what:literal, $needs:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err(InvalidName::new($what, &text, $needs)) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_slug(text: &str, longest: usize, also: &[char]) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(&c);
    !text.is_empty()
        && text.len() <= longest
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_object_id(text: &str) -> bool {
    // SHA-1 has 40 hexadecimal digits, SHA-256 has 64 (gitformat-pack, "object names").
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

checked_string!(
    /// The name of a watched repository; also its routing key and the name of its mirror's folder.
    RepositoryName, "repository name",
    "1 to 100 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    |text| is_slug(text, 100, &['.', '_', '-'])
);
checked_string!(
    /// The set of runners a job may go to; also the routing key of its queue.
    PoolName, "pool name", "1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit",
    |text| is_slug(text, 63, &['-'])
);
checked_string!(
    /// One runner's name. It outlives restarts of the process; the [`Incarnation`] does not.
    RunnerName, "runner name", "1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit",
    |text| is_slug(text, 63, &['-'])
);
checked_string!(
    /// One observer's name, which outlives restarts of the process.
    ObserverName, "observer name", "1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit",
    |text| is_slug(text, 63, &['-'])
);
checked_string!(
    /// A commit's object id in full, in lower case: never an abbreviation, never an option of git.
    CommitId, "commit id", "40 or 64 hexadecimal digits in lower case", |text| is_object_id(text)
);
checked_string!(
    /// The object id of a commit's tree. Equal trees have equal content.
    TreeId, "tree id", "40 or 64 hexadecimal digits in lower case", |text| is_object_id(text)
);
checked_string!(
    /// A full ref name such as `refs/heads/main`. Text from outside: legal refs may contain markup,
    /// quotes and `$()`, so it is shown escaped and never handed to a shell or to git as an argument.
    RefName, "ref name", "1 to 1024 bytes that begin with refs/, without control characters",
    |text| text.len() <= 1024 && text.starts_with("refs/") && text.len() > 5 && !text.chars().any(char::is_control)
);

impl CommitId {
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl RefName {
    /// The ref without `refs/heads/` or `refs/tags/`, for people.
    pub fn short(&self) -> &str {
        let text = self.0.as_str();
        text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/")).unwrap_or(text)
    }

    /// Whether this is a branch.
    pub fn is_branch(&self) -> bool {
        self.0.starts_with("refs/heads/")
    }

    /// Whether this is a tag.
    pub fn is_tag(&self) -> bool {
        self.0.starts_with("refs/tags/")
    }
}

impl PoolName {
    /// The pool of a job that names none, and of a runner that names none.
    pub const DEFAULT: &'static str = "default";
}

impl Default for PoolName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

/// Declares an id made of a UUID (RFC 9562).
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidName::new($what, text, "a UUID"))
            }
        }
    };
}

uuid_id!(
    /// One build: a pipeline run for one commit on one ref.
    BuildId, "build id"
);
uuid_id!(
    /// One job of one build.
    JobId, "job id"
);
uuid_id!(
    /// One life of a process. New at each start, so what a former life held can be told apart.
    Incarnation, "incarnation"
);
uuid_id!(
    /// Names the content of a message: a repeat carries the same id, so it can be recognised.
    MessageId, "message id"
);

impl MessageId {
    /// An id that the same parts always give again (UUID version 5, RFC 9562 section 5.5).
    pub fn of(parts: &[&str]) -> Self {
        // Each part is preceded by its length: ("ab", "c") and ("a", "bc") must differ.
        let mut text = String::new();
        for part in parts {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()))
    }
}

/// Which execution of a job this is, from 1. It is the fencing number: only the current one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNumber(pub u32);

impl AttemptNumber {
    /// The first attempt of a job.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for AttemptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 random bits that only the holder of an attempt knows; proves that a report is the holder's.
///
/// Its `Debug` form hides the value, so that it does not reach a log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptToken(Uuid);

impl AttemptToken {
    /// Takes 16 bytes from a cryptographic source; this crate has none of its own.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The value, for the ledger and for nobody else.
    pub fn expose(&self) -> String {
        self.0.simple().to_string()
    }
}

impl FromStr for AttemptToken {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidName::new("attempt token", "(hidden)", "32 hexadecimal digits"))
    }
}

impl fmt::Debug for AttemptToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_could_read_as_an_option_is_no_commit_id() {
        assert!("--upload-pack=touch".parse::<CommitId>().is_err());
        assert!("HEAD".parse::<CommitId>().is_err());
        assert!("A".repeat(40).parse::<CommitId>().is_err());
        assert!("a".repeat(40).parse::<CommitId>().is_ok());
        assert!("0".repeat(64).parse::<CommitId>().is_ok());
    }

    #[test]
    fn names_cannot_leave_their_folder_or_their_routing_key() {
        for bad in ["", "..", "../x", "a/b", "a#b", "A", "a b", "-x", ".hidden", "ü"] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
            assert!(bad.parse::<PoolName>().is_err(), "{bad:?}");
        }
        assert!("thump.rs_2-x".parse::<RepositoryName>().is_ok());
    }

    #[test]
    fn a_ref_that_is_legal_markup_is_kept_as_it_is() {
        let name: RefName = "refs/heads/--upload-pack=id>pwn<script>".parse().expect("legal");
        assert_eq!(name.short(), "--upload-pack=id>pwn<script>");
        assert!("refs/heads/a\nb".parse::<RefName>().is_err());
        assert!("main".parse::<RefName>().is_err());
    }

    #[test]
    fn message_ids_repeat_for_the_same_parts_only() {
        assert_eq!(MessageId::of(&["a", "b"]), MessageId::of(&["a", "b"]));
        assert_ne!(MessageId::of(&["ab", "c"]), MessageId::of(&["a", "bc"]));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = AttemptToken::from_random([7; 16]);
        assert!(!format!("{token:?}").contains("0707"));
        assert_eq!(token.expose().parse::<AttemptToken>(), Ok(token));
    }
}
