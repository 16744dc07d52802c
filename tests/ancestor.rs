//! The defects of the ancestor, a small CI from a book, each told the other way round. Those that have
//! a file of their own here are named at the end.

use crate::world::{Carrier, World, lines_in};

/// Defect 1: its idle dispatcher burnt a core.
#[tokio::test(flavor = "multi_thread")]
async fn idle_means_idle() {
    let (mut world, repository) = World::running(Carrier::Embedded).await;
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
    let id = world.process("up").id();
    let before = processor_ticks(id);
    // The one place where a story lets time pass: idleness can only be seen over time.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let used = processor_ticks(id) - before;
    assert!(used <= 60, "{used} ticks of 300 were used while nothing was to be done");
}

/// The processor time a process used, in ticks of 10 ms (proc_pid_stat(5), fields 14 and 15).
fn processor_ticks(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process is there");
    let after_name = text.rsplit_once(')').expect("a name").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system")
}

/// Defect 3: it ran tests inside its own interpreter, so a broken commit could pass by old modules.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_breaks_a_module_is_red_although_it_passed_before() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write("sums.py", "def add(a, b):\n    return a + b\n");
    repository.write("tests/test_sums.py", "import unittest\nfrom sums import add\n\nclass Sums(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(1, 1), 2)\n");
    let good = repository.commit("good");
    repository.push();
    assert_eq!(world.verdict(&good).await, "passed", "{}", world.log(&good).await);
    repository.write("sums.py", "def add(a, b):\n    return a - b\n");
    let bad = repository.commit("bad");
    repository.push();
    assert_eq!(world.verdict(&bad).await, "failed");
}

/// Defects 4 and 5: an unknown commit or a missing tests folder left its runner busy for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_tests_leaves_the_runner_free() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write("file", "no tests at all");
    let nothing = repository.commit("nothing to run");
    repository.push();
    assert_eq!(world.verdict(&nothing).await, "errored");
    let next = repository.push_job("true");
    assert_eq!(world.verdict(&next).await, "passed");
}

/// Defect 6: its runner looked at the busy flag before setting it, so jobs shared one clone.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_never_runs_more_jobs_than_it_has_slots() {
    let mut world = World::new(Carrier::Embedded).await;
    world.runner_options = vec!["--slots".into(), "2".into()];
    let repository = world.repository("app");
    world.start().await;
    let log = world.path("log").display().to_string();
    repository.write(
        ".thump.toml",
        &crate::world::repository::pipeline(&[&format!("echo start >> {log}; sleep 0.1; echo end >> {log}")]),
    );
    let commits: Vec<String> = (0..12).map(|number| repository.commit(&format!("commit {number}"))).collect();
    repository.push();
    for commit in &commits {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    let mut running = 0_i32;
    for line in world.lines("log") {
        running += if line == "start" { 1 } else { -1 };
        assert!((0..=2).contains(&running), "{running} jobs ran at once on 2 slots");
    }
}

/// Defect 7: its observer exited when nobody was there to talk to.
#[tokio::test(flavor = "multi_thread")]
async fn an_observer_without_a_dispatcher_waits() {
    let mut world = World::new(Carrier::Rabbit).await;
    let repository = world.repository("app");
    world.start_observer();
    let commit = repository.push_job("true");
    world.process("observer").says("app").await;
    world.start_dispatcher().await;
    world.start_runner("runner");
    assert_eq!(world.verdict(&commit).await, "passed");
}

/// Defects 15 and 16: results were cut at 127,917 bytes, what tests printed was not kept, and text
/// that is not ASCII was not recorded at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_in_any_script_arrives_whole() {
    let (world, repository) = World::running(Carrier::Rabbit).await;
    let commit = repository.push_job("i=0; while [ $i -lt 200 ]; do head -c 50000 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; printf '\\346\\274\\242\\345\\255\\227 %.0s' $(seq 2000); echo; echo the end");
    assert_eq!(world.verdict(&commit).await, "passed");
    let job = world.builds(&commit).await[0]["jobs"][0]["id"].as_str().expect("an id").to_owned();
    let log = world
        .eventually("the whole log", || async {
            let (_, log) = world.get(&format!("/api/v1/jobs/{job}/log")).await;
            log.contains("\nthe end\n").then_some(log)
        })
        .await;
    assert_eq!(log.matches('x').count() / 50_000, 200);
    assert_eq!(log.matches("漢字 ").count(), 2000);
}

/// Defect 17: a test that exits hard killed the runner, and then the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_exits_hard_is_red_and_nothing_else() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    repository.write(
        "tests/test_exit.py",
        "import os, unittest\n\nclass Exit(unittest.TestCase):\n    def test_exit(self):\n        os._exit(9)\n",
    );
    let commit = repository.commit("exits");
    repository.push();
    assert_eq!(world.verdict(&commit).await, "failed");
    let killed = repository.push_job("kill -9 $$");
    assert_eq!(world.verdict(&killed).await, "failed");
    let next = repository.push_job("true");
    assert_eq!(world.verdict(&next).await, "passed");
}

/// Defect 20: five hundred silent connections made five hundred threads.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_cost_no_threads_and_delay_nobody() {
    let (mut world, repository) = World::running(Carrier::Embedded).await;
    let address = world.server().trim_start_matches("http://").to_owned();
    let silent: Vec<std::net::TcpStream> =
        (0..500).map(|_| std::net::TcpStream::connect(&address).expect("a connection")).collect();
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
    let threads = std::fs::read_dir(format!("/proc/{}/task", world.process("up").id())).expect("tasks").count();
    assert!(threads < 60, "{threads} threads");
    drop(silent);
}

/// P8: when a job ends, no process of it remains, whatever it did.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_leaves_running_is_ended_with_it() {
    let (world, repository) = World::running(Carrier::Embedded).await;
    let ids = world.path("ids");
    let commit = repository.push_job(&format!(
        "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; while true; do sleep 1; done' & done; \
         until [ \"$(wc -l < {0})\" = 3 ]; do sleep 0.05; done",
        ids.display()
    ));
    assert_eq!(world.verdict(&commit).await, "passed");
    for id in lines_in(&ids, 3).await {
        world
            .eventually("the end of the daemon", || async {
                (!std::path::Path::new(&format!("/proc/{id}")).exists()).then_some(())
            })
            .await;
    }
}

// Defect 2 (only the newest commit is tested): every_commit_once. Defects 8, 9, 10, 13: runner_dies,
// every_commit_once. Defects 11, 12: roles_die. Defect 14 (names cut at the first dot): the names in
// crate `messages`. Defect 18 (no time limit): one_commit. Defect 19 (forged results, file names from the
// network): malformed_messages, and the attempt token in crate `store`.
