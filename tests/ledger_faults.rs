//! P9: a ledger that cannot be used ends no role, costs no verdict and is named; it works again soon after.

use std::path::Path;
use std::time::{Duration, Instant};

use rabbit_node::Node;
use sqlx::{Connection, SqliteConnection};

use crate::world::{Carrier, Repository, World, measure};

/// By then everything works again after a fault.
const BACK: Duration = Duration::from_secs(10);

async fn open(file: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    SqliteConnection::connect_with(&options).await.expect("opened")
}

/// A job runs, everything stands.
async fn busy(world: &mut World) -> (Repository, String) {
    let repository = world.repository("app");
    world.start().await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    crate::world::lines_in(&world.path("ran"), 1).await;
    assert!(world.faults().await.is_empty());
    (repository, commit)
}

/// What was pushed and what ended while the ledger could not be written is recorded soon, once, and as it was.
async fn all_is_well_again(world: &World, ended: &str, pushed: &str) {
    let begun = Instant::now();
    assert_eq!(world.verdict(ended).await, "passed");
    assert_eq!(world.verdict(pushed).await, "passed");
    world.eventually("no fault", || async { world.faults().await.is_empty().then_some(()) }).await;
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    assert_eq!(world.lines("ran"), ["1", "meanwhile"], "no attempt was lost");
}

async fn locked_for(time: Duration) {
    let mut world = World::new(Carrier::Rabbit).await;
    let (repository, ended) = busy(&mut world).await;
    let mut other = world.lock_ledger().await;
    world.make("go");
    let pushed = repository.push_job(&world.append("ran", "meanwhile"));

    world.fault_named("locked").await;
    world.process("dispatcher").says("nothing is taken from the queues").await;
    measure::none_spins(&world.pids(), time).await;
    assert_eq!(world.builds(&ended).await[0]["state"], "running", "pages are readable all the while");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("free again");
    all_is_well_again(&world, &ended, &pushed).await;
    assert_eq!(world.dead_letters().await, 0, "no message was worn out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_somebody_locks_is_waited_for() {
    locked_for(Duration::from_secs(4)).await;
}

/// The long form: `cargo test --test stories -- --ignored a_ledger_that_is_locked_for_a_minute`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than a minute"]
async fn a_ledger_that_is_locked_for_a_minute_is_waited_for() {
    locked_for(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_moved_away_is_named_and_used_again_when_it_is_back() {
    let mut world = World::new(Carrier::Rabbit).await;
    let (repository, ended) = busy(&mut world).await;
    let (file, aside) = (world.ledger_file(), world.path("aside.db"));
    std::fs::rename(&file, &aside).expect("moved");
    world.make("go");
    let pushed = repository.push_job(&world.append("ran", "meanwhile"));

    world.fault_named("was moved, deleted or replaced").await;
    assert!(!file.exists(), "no new ledger in its place");
    measure::none_spins(&world.pids(), Duration::from_secs(3)).await;
    std::fs::rename(&aside, &file).expect("put back");
    all_is_well_again(&world, &ended, &pushed).await;
    assert_eq!(world.dead_letters().await, 0, "no message was worn out");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_under_a_living_dispatcher_puts_no_message_aside() {
    let mut world = World::new(Carrier::Rabbit).await;
    let (repository, ended) = busy(&mut world).await;
    // Somebody else's commit: the dispatcher reads again what it has in memory.
    let own = "UPDATE pools SET queued = queued + 0; PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(own).execute(&mut open(&world.ledger_file()).await).await.expect("written down");
    let (good, damaged) = damage(&world.ledger_file());
    world.make("go");
    let pushed = repository.push_job(&world.append("ran", "meanwhile"));

    world.process("dispatcher").says("nothing is taken from the queues").await;
    world.fault_named("leads").await;
    measure::none_spins(&world.pids(), Duration::from_secs(3)).await;
    // What the message says: stop, restore, start again.
    world.process("dispatcher").kill();
    for (page, bytes) in good {
        std::os::unix::fs::FileExt::write_all_at(&damaged, &bytes, page).expect("restored");
    }
    world.start_dispatcher().await;
    all_is_well_again(&world, &ended, &pushed).await;
    assert_eq!(world.dead_letters().await, 0, "no message was worn out");
}

/// Spoils the head of every page but the first.
fn damage(file: &Path) -> (Vec<(u64, Vec<u8>)>, std::fs::File) {
    use std::os::unix::fs::FileExt;
    let whole = std::fs::read(file).expect("read");
    let handle = std::fs::File::options().write(true).open(file).expect("opened");
    let good = (4096..whole.len()).step_by(4096).map(|page| (page as u64, whole[page..page + 8].to_vec()));
    let good: Vec<_> = good.collect();
    for (page, bytes) in &good {
        let bad: Vec<u8> = bytes.iter().map(|byte| byte ^ 0xff).collect();
        handle.write_all_at(&bad, *page).expect("damaged");
    }
    (good, handle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_refuses_a_damaged_ledger_with_the_remedy_and_leaves_it_alone() {
    let mut world = World::on_own_broker("amqp://nobody:x@127.0.0.1:9/thump".into());
    let file = world.ledger_file();
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(&file, "not a ledger at all").expect("written");
    world.start_process("dispatcher", "dispatcher", &["dispatch".to_owned(), "--listen".into(), "127.0.0.1:0".into()]);
    let status = world.process("dispatcher").ends().await;
    let said = world.process("dispatcher").output();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("ledger.db") && said.contains("restore it from a backup"), "{said}");
    assert_eq!(std::fs::read(&file).expect("read"), b"not a ledger at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_without_a_broker_says_that_and_that_nobody_leads() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    node.kill().await.expect("killed");
    world.start_dispatcher().await;
    world.fault_named("the broker is not reachable").await;
    world.fault_named("no dispatcher leads").await;
    assert_eq!(world.get("/readyz").await.0, 200, "page and API need no broker");
    let (_, page) = world.get("/").await;
    assert!(page.contains("the broker is not reachable"), "{page}");
    node.restart().await.expect("restarted");
    let begun = Instant::now();
    world.eventually("everything works", || async { world.faults().await.is_empty().then_some(()) }).await;
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
}
