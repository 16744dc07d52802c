//! What is wrong with the ledger is noticed without waiting for a job to meet it.

use std::fs;
use std::os::unix::fs::FileExt;

use sqlx::Connection;
use store::LedgerError;

use super::fixture::{World, build, open_in};

async fn raw(world: &World) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.file());
    sqlx::SqliteConnection::connect_with(&options).await.expect("opened")
}

#[tokio::test]
async fn a_trial_write_reaches_the_disk_and_changes_nothing() {
    let world = World::start().await;
    let mut other = raw(&world).await;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut other).await.expect("emptied");
    let wal = world.file().with_extension("db-wal");
    assert_eq!(fs::metadata(&wal).expect("there").len(), 0);
    let changes = *world.ledger.changes().borrow();

    world.ledger.try_write().await.expect("it takes writes");
    assert!(fs::metadata(&wal).expect("there").len() > 0, "nothing was written, so a full disk would not be found");
    assert_eq!(*world.ledger.changes().borrow(), changes, "nobody wakes for it");
    world.ledger.renew(world.epoch).await.expect("who leads still does");

    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.expect("locked");
    let refused = world.ledger.try_write().await;
    assert!(matches!(&refused, Err(LedgerError::Unavailable { cause }) if cause.contains("locked")), "{refused:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("free again");
    world.ledger.try_write().await.expect("it takes writes again");
}

#[tokio::test]
async fn everyone_sees_whether_somebody_leads() {
    let world = World::start().await;
    let other = open_in(&world.folder).await;
    assert!(world.ledger.is_led().expect("known") && other.is_led().expect("known"));
    world.ledger.resign(world.epoch).await.expect("resigned");
    assert!(!world.ledger.is_led().expect("known") && !other.is_led().expect("known"));
    // The look itself must not keep anybody from leading.
    let epoch = other.lead("second").await.expect("asked").expect("nobody else leads");
    assert!(world.ledger.is_led().expect("known"));
    drop(other);
    assert!(!world.ledger.is_led().expect("known"), "epoch {epoch:?} ended with its holder");
}

#[tokio::test]
async fn damage_under_a_living_ledger_is_no_fault_of_single_messages() {
    let world = World::start().await;
    world.push(1, &[("test", &[])]).await;
    // Somebody else's commit: the ledger's own connections read again what they have in memory.
    let own = "UPDATE pools SET queued = queued; PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(own).execute(&mut raw(&world).await).await.expect("written down");
    world.ledger.examine().await.expect("whole");
    let good = fs::read(world.file()).expect("read");
    let file = fs::File::options().write(true).open(world.file()).expect("opened");
    for page in (4096..good.len()).step_by(4096) {
        let bad: Vec<u8> = good[page..page + 8].iter().map(|byte| byte ^ 0xff).collect();
        file.write_all_at(&bad, page as u64).expect("damaged");
    }

    let ledger = &world.ledger;
    assert!(matches!(ledger.queues().await, Err(LedgerError::Damaged { .. })));
    let refused = ledger.record_builds(world.epoch, vec![build(2, &[("test", &[])]), build(3, &[])]).await;
    assert!(
        refused.as_ref().is_err_and(|cause| cause.concerns_the_file() && !cause.worth_retrying()),
        "a dispatcher would put the messages aside, one by one: {refused:?}"
    );
    let found = ledger.examine().await;
    assert!(
        matches!(&found, Err(cause @ LedgerError::Damaged { .. }) if cause.to_string().contains("backup")),
        "{found:?}"
    );

    file.write_all_at(&good, 0).expect("restored");
    ledger.examine().await.expect("whole again");
}
