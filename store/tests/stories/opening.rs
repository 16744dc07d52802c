//! A file that cannot be used is left as it is, and the message says what to do.

use std::fs;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use store::{Ledger, LedgerError, OpenError};

use super::fixture::{World, build, open_in};

async fn refusal(folder: &tempfile::TempDir) -> OpenError {
    let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
    match Ledger::open(&url, folder.path()).await {
        Ok(_) => panic!("it was opened"),
        Err(cause) => cause,
    }
}

async fn raw(folder: &tempfile::TempDir) -> sqlx::SqliteConnection {
    let file = folder.path().join("ledger.db");
    SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await.expect("connects")
}

/// A ledger with something in it, all in its main file.
async fn filled() -> tempfile::TempDir {
    let world = World::start().await;
    world.record((0..20).map(|commit| build(commit, &[("test", &[])])).collect()).await;
    let World { folder, ledger, .. } = world;
    drop(ledger);
    let mut connection = raw(&folder).await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.expect("done");
    connection.close().await.expect("closed");
    folder
}

#[tokio::test]
async fn a_text_file_and_the_database_of_another_program_are_no_ledgers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    fs::write(&file, "a diary").expect("written");
    assert!(matches!(refusal(&folder).await, OpenError::Corrupt { .. }));
    assert_eq!(fs::read(&file).expect("read"), b"a diary");
    fs::remove_file(&file).expect("removed");

    let mut connection = raw(&folder).await;
    sqlx::query("CREATE TABLE recipes (name TEXT)").execute(&mut connection).await.expect("done");
    connection.close().await.expect("closed");
    let before = fs::read(&file).expect("read");
    assert!(matches!(refusal(&folder).await, OpenError::Corrupt { .. }));
    assert_eq!(fs::read(&file).expect("read"), before);
}

#[tokio::test]
async fn a_damaged_file_is_refused_wherever_the_damage_is_and_not_changed() {
    let folder = filled().await;
    let file = folder.path().join("ledger.db");
    let good = fs::read(&file).expect("read");
    let page = 4096;
    for number in 0..good.len() / page {
        let mut bad = good.clone();
        // The head of each page, where its kind and its cells are described.
        let at = if number == 0 { 0 } else { number * page };
        for byte in &mut bad[at..at + 8] {
            *byte ^= 0xff;
        }
        fs::write(&file, &bad).expect("written");
        let refused = refusal(&folder).await;
        assert!(matches!(refused, OpenError::Corrupt { .. }), "page {number}: {refused}");
        assert_eq!(fs::read(&file).expect("read"), bad, "page {number}");
    }
    for length in [7, 100, page, good.len() / 2 / page * page] {
        fs::write(&file, &good[..length]).expect("written");
        let refused = refusal(&folder).await;
        assert!(matches!(refused, OpenError::Corrupt { .. }), "cut to {length}: {refused}");
    }
    fs::write(&file, &good).expect("written");
    open_in(&folder).await;
}

#[tokio::test]
async fn the_ledger_of_a_newer_version_is_left_to_that_version() {
    let folder = filled().await;
    let mut connection = raw(&folder).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .expect("done");
    connection.close().await.expect("closed");
    assert!(matches!(refusal(&folder).await, OpenError::Newer { .. }));
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_and_a_strange_url_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("ledger.db")).expect("made");
    assert!(matches!(refusal(&folder).await, OpenError::Unusable { .. }));
    for url in ["", "ledger.db", "postgres://x", "sqlite:", "sqlite::memory:"] {
        let refused = Ledger::open(url, folder.path()).await.err();
        assert!(matches!(refused, Some(OpenError::Url { .. })), "{url:?}");
    }
}

#[tokio::test]
async fn a_file_without_the_right_to_write_is_unusable_and_not_changed() {
    let folder = filled().await;
    let file = folder.path().join("ledger.db");
    let mut rights = fs::metadata(&file).expect("there").permissions();
    rights.set_readonly(true);
    fs::set_permissions(&file, rights).expect("set");
    // Rights do not bind the superuser.
    if fs::File::options().write(true).open(&file).is_err() {
        assert!(matches!(refusal(&folder).await, OpenError::Unusable { .. }));
    }
}

#[tokio::test]
async fn after_a_close_the_main_file_alone_is_a_whole_backup() {
    let world = World::start().await;
    let build_id = world.push(1, &[("test", &[])]).await;
    world.ledger.builds(store::BuildFilter { limit: 9, ..store::BuildFilter::default() }).await.expect("read");
    // Another process has it open all the while.
    let other = open_in(&world.folder).await;
    let main_only = fs::read(world.file()).expect("read");
    world.ledger.close().await.expect("closed");
    assert_ne!(fs::read(world.file()).expect("read"), main_only, "the story has something to gather");
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::copy(world.file(), elsewhere.path().join("ledger.db")).expect("copied");
    let copy = open_in(&elsewhere).await;
    assert!(copy.build(build_id).await.expect("read").is_some());
    assert!(other.build(build_id).await.expect("read").is_some(), "others go on");
}

#[tokio::test]
async fn two_processes_may_create_the_same_ledger_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("deep/er/ledger.db").display());
    let open = || Ledger::open(&url, folder.path());
    let (first, second, third) = tokio::join!(open(), open(), open());
    first.expect("opens");
    second.expect("opens");
    third.expect("opens");
}

#[tokio::test]
async fn a_locked_ledger_is_unavailable_for_a_while_and_well_again_afterwards() {
    let world = World::start().await;
    let mut other = raw(&world.folder).await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.expect("locked");
    let begun = Instant::now();
    let refused = world.ledger.record_builds(world.epoch, vec![build(1, &[("test", &[])])]).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
    assert!(refused.is_err_and(|cause| cause.worth_retrying()));
    assert!(begun.elapsed() >= Duration::from_secs(4), "it waited for the other to be done");
    assert!(world.to_publish().await.is_empty(), "readers are not locked out");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("free again");
    world.push(1, &[("test", &[])]).await;
    assert_eq!(world.to_publish().await.len(), 1);
}

#[tokio::test]
async fn what_was_deleted_or_replaced_while_it_was_open_is_not_written_into_the_void() {
    let world = World::start().await;
    world.push(1, &[("test", &[])]).await;
    let aside = world.folder.path().join("aside.db");
    fs::rename(world.file(), &aside).expect("moved");
    let write = async || world.ledger.record_builds(world.epoch, vec![build(2, &[("test", &[])])]).await;
    assert!(matches!(write().await, Err(LedgerError::Unavailable { .. })));
    assert!(!world.file().exists(), "no new file in its place");
    fs::write(world.file(), "a diary").expect("written");
    assert!(matches!(write().await, Err(LedgerError::Unavailable { .. })));
    assert_eq!(fs::read(world.file()).expect("read"), b"a diary");
    fs::rename(&aside, world.file()).expect("put back");
    assert!(write().await.is_ok());
}

/// What the first ledgers say about their tables; the checksum is the one of their day.
const FIRST_STEP: (i64, &str, bool, &str) = (
    1,
    "ledger",
    true,
    "0CFDE94B1EAC578C771462EE17F5EBF1B65E63E720C368CC9A08DDA349A21AE6\
     A402DC2950FC00459FB14D9D6084BB15",
);

#[tokio::test]
async fn a_ledger_of_the_first_days_opens_and_keeps_what_it_says_about_its_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = raw(&folder).await;
    sqlx::raw_sql(
        "PRAGMA application_id = 0x54686d70;
         CREATE TABLE _sqlx_migrations (
             version BIGINT PRIMARY KEY,
             description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
             success BOOLEAN NOT NULL,
             checksum BLOB NOT NULL,
             execution_time BIGINT NOT NULL
         );",
    )
    .execute(&mut connection)
    .await
    .expect("done");
    sqlx::raw_sql(include_str!("../../migrations/0001_ledger.sql")).execute(&mut connection).await.expect("done");
    let (version, description, success, checksum) = FIRST_STEP;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, $3, unhex($4), 0)",
    )
    .bind(version)
    .bind(description)
    .bind(success)
    .bind(checksum)
    .execute(&mut connection)
    .await
    .expect("done");
    connection.close().await.expect("closed");

    let fresh = tempfile::tempdir().expect("a folder");
    for folder in [&folder, &fresh] {
        drop(open_in(folder).await);
        let said: (i64, String, bool, String) = sqlx::query_as(
            "SELECT version, description, success, hex(checksum) FROM _sqlx_migrations WHERE version = 1",
        )
        .fetch_one(&mut raw(folder).await)
        .await
        .expect("the first step");
        assert_eq!((said.0, said.1.as_str(), said.2, said.3.as_str()), FIRST_STEP);
    }
}
