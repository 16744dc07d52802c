//! P9: a broker that takes no messages (memory or disk alarm, full queue) costs nothing but time.

use std::path::Path;
use std::time::{Duration, Instant};

use rabbit_node::Node;

use crate::world::{World, measure};

/// By then everything works again.
const BACK: Duration = Duration::from_secs(10);
/// What a role may take in memory while it waits, in KiB.
const GROWTH: u64 = 32 * 1024;

#[derive(Clone, Copy)]
enum Alarm {
    Memory,
    Disk,
}

impl Alarm {
    async fn begin(self, node: &Node) {
        let expression = match self {
            Self::Memory => "vm_memory_monitor:set_vm_memory_high_watermark(0.00001)",
            Self::Disk => "rabbit_disk_monitor:set_disk_free_limit(\"100000GB\")",
        };
        node.eval(expression).await.expect("set");
    }

    async fn end(self, node: &Node) {
        let expression = match self {
            Self::Memory => "vm_memory_monitor:set_vm_memory_high_watermark(0.9)",
            Self::Disk => "rabbit_disk_monitor:set_disk_free_limit(1)",
        };
        node.eval(expression).await.expect("set");
    }
}

/// How many results lie on the runner's disk.
fn spooled(runner: &Path) -> usize {
    let folders = std::fs::read_dir(runner.join("runners/runner-1/spool")).expect("a spool");
    folders.flatten().filter(|folder| folder.path().join("result.json").exists()).count()
}

/// One job ends during the alarm, one runs through it, one commit is pushed.
async fn alarm_for(alarm: Alarm, time: Duration) {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    let repository = world.repository("app");
    world.start().await;
    let job = |file: &str, line: &str| format!("{}; {}", world.append("ran", line), world.until(file));
    let ends = repository.push_job(&format!("{}; yes | head -c 4000000", job("end", "ends $THUMP_ATTEMPT")));
    world.running_job(&ends).await;
    let stays = repository.push_job(&job("stay", "stays $THUMP_ATTEMPT"));
    crate::world::lines_in(&world.path("ran"), 2).await;

    alarm.begin(&node).await;
    world.fault_named("the broker takes no messages").await;
    let pids = world.pids();
    let before: Vec<u64> = pids.iter().map(|(_, pid)| measure::resident(*pid)).collect();
    let open: Vec<usize> = pids.iter().map(|(_, pid)| measure::descriptors(*pid)).collect();
    world.make("end");
    let pushed = repository.push_job(&world.append("ran", "pushed $THUMP_ATTEMPT"));
    let runner = world.path("runner");
    world.eventually("the result on the runner's disk", || async { (spooled(&runner) == 1).then_some(()) }).await;

    measure::none_spins(&pids, time).await;
    let (_, page) = world.get("/").await;
    assert!(page.contains("the broker takes no messages"), "{page}");
    assert_eq!(world.builds(&ends).await[0]["state"], "running", "nobody could hear its end");
    assert!(world.builds(&pushed).await.is_empty(), "nobody could hear of it");
    assert_eq!(world.lines("ran"), ["ends 1", "stays 1"]);

    alarm.end(&node).await;
    let begun = Instant::now();
    assert_eq!(world.verdict(&ends).await, "passed");
    assert_eq!(world.verdict(&pushed).await, "passed");
    world.eventually("no fault", || async { world.faults().await.is_empty().then_some(()) }).await;
    measure::note(&format!("works again after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    world.make("stay");
    assert_eq!(world.verdict(&stays).await, "passed");
    assert_eq!(world.lines("ran"), ["ends 1", "stays 1", "pushed 1"], "no lease ended, nothing ran twice");
    let whole = world.log_length(&ends).await;
    world.eventually("the whole log", || async { (world.log(&ends).await.len() == whole).then_some(()) }).await;

    for ((name, pid), (before, open)) in pids.iter().zip(before.into_iter().zip(open)) {
        let (grown, more) =
            (measure::resident(*pid).saturating_sub(before), measure::descriptors(*pid).saturating_sub(open));
        measure::note(&format!("{name}: + {grown} KiB, + {more} descriptors"));
        assert!(grown <= GROWTH, "{name} grew by {grown} KiB");
        assert!(more <= 8, "{name} has {more} descriptors more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_memory_alarm_jobs_run_on_and_results_wait_on_the_runners_disk() {
    alarm_for(Alarm::Memory, Duration::from_secs(20)).await;
}

/// `cargo test --test stories -- --ignored --nocapture an_alarm_of_two_minutes`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes"]
async fn an_alarm_of_two_minutes_costs_nothing_but_time() {
    alarm_for(Alarm::Disk, Duration::from_secs(120)).await;
}

/// Between the alarms there is time for ticks, and rarely for a beat that goes by the clock alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_goes_on_and_off_ends_no_lease() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    let repository = world.repository("app");
    world.start().await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    world.running_job(&commit).await;
    for _ in 0..12 {
        Alarm::Memory.begin(&node).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        Alarm::Memory.end(&node).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    world.make("go");
    assert_eq!(world.verdict(&commit).await, "passed");
    assert_eq!(world.lines("ran"), ["1"]);
    assert!(!world.process("dispatcher").output().contains("attempt lost"));
}

/// As a queue of RabbitMQ 3.10 can be after a crash: it takes and gives nothing, and nobody says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_queue_that_is_dead_is_named_and_blames_no_runner() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    let repository = world.repository("app");
    world.start().await;
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    world.running_job(&commit).await;
    node.eval("sys:suspend({'%2F_thump.results', node()})").await.expect("suspended");
    world.make("go");
    world.fault_named("no tick came back").await;
    // Longer than a lease.
    measure::none_spins(&world.pids(), Duration::from_secs(15)).await;
    assert_eq!(world.builds(&commit).await[0]["state"], "running");

    node.eval("sys:resume({'%2F_thump.results', node()})").await.expect("resumed");
    let begun = Instant::now();
    assert_eq!(world.verdict(&commit).await, "passed");
    world.eventually("no fault", || async { world.faults().await.is_empty().then_some(()) }).await;
    measure::note(&format!("works again after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    assert_eq!(world.lines("ran"), ["1"], "no lease ended");
}

/// The dispatcher takes nothing, because its ledger is locked, and the queues are full.
#[tokio::test(flavor = "multi_thread")]
async fn full_queues_lose_nothing() {
    let node = Node::start().await.expect("a RabbitMQ node");
    let mut world = World::on_own_broker(node.url());
    world.runner_options = vec!["--slots".into(), "4".into()];
    let repository = world.repository("app");
    world.start().await;
    let lines: Vec<String> =
        ["runs", "pushed"].map(|name| world.append("ran", &format!("{name} $THUMP_ATTEMPT"))).into();
    let mut commits = Vec::new();
    for number in 0..4 {
        let commit = repository.push_job(&format!("{}; {} # {number}", lines[0], world.until("go")));
        world.running_job(&commit).await;
        commits.push(commit);
    }
    node.ctl(&["set_policy", "full", "^thump[.](results|commits)$", "{\"max-length\": 1}", "--apply-to", "queues"])
        .await
        .expect("a policy");
    let mut other = world.lock_ledger().await;
    world.process("dispatcher").says("nothing is taken from the queues").await;
    world.make("go");
    for number in 0..4 {
        commits.push(repository.push_job(&format!("{} # {number}", lines[1])));
    }
    world.process("observer").says("is full").await;
    world.process("runner").says("is full").await;
    measure::none_spins(&world.pids(), Duration::from_secs(3)).await;

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("free again");
    let begun = Instant::now();
    for commit in &commits {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    measure::note(&format!("works again after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    let mut ran = world.lines("ran");
    ran.sort();
    let expected = [["pushed 1"; 4], ["runs 1"; 4]].concat();
    assert_eq!(ran, expected, "each ran once");
}
