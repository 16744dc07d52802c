//! The steps that bring a ledger's tables up to date, in order.
//!
//! Named by hand, and not by sqlx's macro, for the reason that [`crate::from_row`] gives. A step that was
//! released is never changed: every ledger keeps the checksums of its steps, and refuses to open
//! with others. What is to change comes as a new step.

use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Number, description and text of every step; the file is named after the first two.
const STEPS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../migrations/0001_ledger.sql")),
    (2, "order of lives", include_str!("../migrations/0002_order_of_lives.sql")),
    (3, "filtered", include_str!("../migrations/0003_filtered.sql")),
    (4, "exclusive jobs", include_str!("../migrations/0004_exclusive_jobs.sql")),
    (5, "policy", include_str!("../migrations/0005_policy.sql")),
    (6, "parking", include_str!("../migrations/0006_parking.sql")),
    (7, "tests", include_str!("../migrations/0007_tests.sql")),
    (8, "dead letters", include_str!("../migrations/0008_dead_letters.sql")),
    (9, "quarantine", include_str!("../migrations/0009_quarantine.sql")),
];

/// All steps, with their checksums.
pub(crate) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let step = |&(number, description, text): &(i64, &'static str, &'static str)| {
        Migration::new(number, description.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(STEPS.iter().map(step).collect())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_in_the_folder_is_forgotten() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        files.sort();
        let named: Vec<String> = STEPS
            .iter()
            .map(|(number, description, _)| format!("{number:04}_{}.sql", description.replace(' ', "_")))
            .collect();
        assert_eq!(files, named);
    }
}
