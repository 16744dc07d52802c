//! P11: the log shown is byte for byte what the job wrote, or says where it was cut.

use rustix::process::Signal;

use crate::world::{Carrier, World, lines_in, on_both_brokers};

/// The part of a log between two lines that the job itself wrote.
fn between(log: &str) -> &str {
    let begin = log.find("BEGIN\n").expect("its begin") + "BEGIN\n".len();
    &log[begin..log.rfind("END\n").expect("its end")]
}

on_both_brokers! {
    async fn a_long_log_is_shown_as_it_was_written(carrier) {
        let (world, repository) = World::running(carrier).await;
        let commit = repository.push_job("set +x; echo BEGIN; seq 1 100000; printf 'ü\\t\\033[31m red\\n'; echo END");
        assert_eq!(world.verdict(&commit).await, "passed");
        let written: String = (1..=100_000).map(|number| format!("{number}\n")).collect::<String>() + "ü\t\u{1b}[31m red\n";
        world
            .eventually("the whole log", || async {
                let log = world.log(&commit).await;
                (log.ends_with("END\n") && between(&log) == written).then_some(())
            })
            .await;
    }

    async fn a_log_beyond_the_limit_says_that_it_was_cut(carrier) {
        let mut world = World::new(carrier).await;
        world.runner_options.extend(["--max-log-bytes".into(), "65536".into()]);
        let repository = world.repository("app");
        world.start().await;
        let commit = repository.push_job("seq 1 100000");
        assert_eq!(world.verdict(&commit).await, "passed");
        world
            .eventually("the word that it was cut", || async {
                world.log(&commit).await.contains("the log is cut here").then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_whole_although_the_dispatcher_was_killed_while_it_was_written() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let counts = "for n in $(seq 1 2000); do echo line $n; done";
    let commit = repository.push_job(&format!(
        "echo BEGIN; {counts}; {}; {}; {counts}; echo END",
        world.append("half", "written"),
        world.until("go")
    ));
    lines_in(&world.path("half"), 1).await;
    world.process("dispatcher").signal(Signal::KILL);
    world.make("go");
    world.process("dispatcher").ends().await;
    world.start_dispatcher().await;
    assert_eq!(world.verdict(&commit).await, "passed");
    let half: String = (1..=2000).map(|number| format!("line {number}\n")).collect();
    world
        .eventually("the whole log", || async {
            let log = world.log(&commit).await;
            (log.ends_with("END\n") && between(&log) == half.repeat(2)).then_some(())
        })
        .await;
}
