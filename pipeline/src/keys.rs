//! What a mistyped key was meant to be.

use crate::shown::quoted;
use crate::table::{FILE, JOB, Key};

/// What other systems call it. Spelling alone would not lead from these to ours.
const ELSEWHERE: [(&str, &str); 35] = [
    ("after", "needs"),
    ("after_script", "finally"),
    ("always", "finally"),
    ("agents", "pool"),
    ("allow-failure", "allow_failure"),
    ("branches", "branch"),
    ("changes", "path"),
    ("cmd", "steps"),
    ("command", "steps"),
    ("commands", "steps"),
    ("cwd", "dir"),
    ("conditions", "when"),
    ("continue-on-error", "allow_failure"),
    ("depends", "needs"),
    ("depends-on", "needs"),
    ("depends_on", "needs"),
    ("events", "event"),
    ("id", "name"),
    ("only", "when"),
    ("no_output_timeout", "silence"),
    ("paths", "path"),
    ("queue", "pool"),
    ("requires", "needs"),
    ("run", "steps"),
    ("runs-on", "pool"),
    ("retries", "retry"),
    ("rules", "when"),
    ("script", "steps"),
    ("tags", "tag"),
    ("title", "name"),
    ("variables", "env"),
    ("vars", "env"),
    ("workdir", "dir"),
    ("working-directory", "dir"),
    ("working_directory", "dir"),
];

/// How alike two words must be (Jaro-Winkler, 1 is equal). Below this, guesses puzzle more than they help.
const ALIKE: f64 = 0.8;
/// Comparing costs the product of the lengths.
const MAX_COMPARED_BYTES: usize = 100;

/// The known key that an unknown one was probably meant to be.
pub(crate) fn meant(name: &str, known: &[Key]) -> Option<&'static str> {
    let elsewhere = ELSEWHERE.iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, ours)| *ours);
    let names: Vec<&'static str> = known.iter().map(|key| key.name).collect();
    names.iter().find(|key| Some(**key) == elsewhere).copied().or_else(|| similar(name, &names))
}

/// The known name that a mistyped one resembles.
pub(crate) fn similar<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let name = name.to_lowercase();
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), *known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|best| best.0 > ALIKE)
        .map(|best| best.1)
}

/// What to say about a key that is unknown here.
pub(crate) fn remedy(name: &str, known: &[Key]) -> String {
    match meant(name, known) {
        Some(key) => format!("did you mean {}?", quoted(key)),
        None if std::ptr::eq(known, FILE) && JOB.iter().any(|key| key.name == name) => {
            "it belongs to a job: put it below [[job]]".to_owned()
        }
        None => {
            let names: Vec<&str> = known.iter().map(|key| key.name).collect();
            format!("known keys: {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_words_of_other_systems_lead_to_ours() {
        for (typed, ours) in [
            ("stpes", "steps"),
            ("step", "steps"),
            ("NAME", "name"),
            ("need", "needs"),
            ("time_limit", "timeout"),
            ("environment", "env"),
            ("depends_on", "needs"),
            ("Run", "steps"),
        ] {
            assert_eq!(meant(typed, JOB), Some(ours), "{typed}");
        }
        assert_eq!(meant("jobs", FILE), Some("job"));
    }

    #[test]
    fn nothing_is_guessed_where_nothing_is_alike() {
        for typed in ["image", "services", "cache", "if", "priority", ""] {
            assert_eq!(meant(typed, JOB), None, "{typed}");
        }
    }
}
