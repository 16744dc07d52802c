//! P7: SIGTERM drains; a second one hands jobs back without costing an attempt.

use rustix::process::Signal;

use crate::world::{Carrier, World, lines_in, on_both_brokers};

on_both_brokers! {
    async fn a_stopped_thump_finishes_what_runs_and_exits_good(carrier) {
        let (mut world, repository) = World::running(carrier).await;
        let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
        // Its own word: a job that was claimed and not yet started would be given back, which is right as well.
        lines_in(&world.path("ran"), 1).await;

        let name = if carrier == Carrier::Embedded { "up" } else { "runner" };
        world.process(name).signal(Signal::TERM);
        world.process(name).says("draining").await;
        world.make("go");
        assert!(world.process(name).ends().await.success());

        // Whoever asks later finds the verdict.
        match carrier {
            Carrier::Embedded => world.start_up().await,
            Carrier::Rabbit => {}
        }
        assert_eq!(world.verdict(&commit).await, "passed");
        assert_eq!(world.builds(&commit).await[0]["jobs"][0]["attempt"], 1);
    }
}

on_both_brokers! {
    async fn after_a_stop_a_copy_of_the_ledgers_main_file_is_a_backup(carrier) {
        let (mut world, repository) = World::running(carrier).await;
        let commit = repository.push_job("true");
        assert_eq!(world.verdict(&commit).await, "passed");
        let (name, data) = if carrier == Carrier::Embedded { ("up", "data") } else { ("dispatcher", "dispatcher") };
        world.process(name).signal(Signal::TERM);
        assert!(world.process(name).ends().await.success());

        let elsewhere = world.path("backup");
        std::fs::create_dir(&elsewhere).expect("a folder");
        let copy = elsewhere.join("ledger.db");
        std::fs::copy(world.path(data).join("dispatcher/ledger.db"), &copy).expect("copied");
        let ledger = store::Ledger::open(&format!("sqlite:{}", copy.display()), &elsewhere).await.expect("it opens");
        let filter = store::BuildFilter { commit: Some(commit), limit: 1, ..store::BuildFilter::default() };
        let build = ledger.builds(filter).await.expect("read").pop().expect("the build is in the copy");
        assert_eq!(build.verdict, Some(messages::Verdict::Passed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_gives_the_job_back_and_it_costs_nothing() {
    let mut world = World::new(Carrier::Rabbit).await;
    world.runner_options = vec!["--slots".into(), "1".into()];
    let repository = world.repository("app");
    world.start_dispatcher().await;
    world.start_observer();
    let commit = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    // More often than a lost runner may be lost: handing back is no loss.
    for turn in 0..4 {
        let name = format!("runner-{turn}");
        world.start_runner(&name);
        world
            .eventually("the job on this runner", || async {
                (world.running_job(&commit).await["runner"] == name.as_str()).then_some(())
            })
            .await;
        world.process(&name).signal(Signal::TERM);
        world.process(&name).says("draining").await;
        world.process(&name).signal(Signal::TERM);
        assert!(world.process(&name).ends().await.success());
    }
    world.make("go");
    world.start_runner("last");
    assert_eq!(world.verdict(&commit).await, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn observer_and_dispatcher_stop_at_once_and_good() {
    let (mut world, repository) = World::running(Carrier::Rabbit).await;
    let commit = repository.push_job("true");
    assert_eq!(world.verdict(&commit).await, "passed");
    for role in ["observer", "dispatcher"] {
        world.process(role).signal(Signal::TERM);
        assert!(world.process(role).ends().await.success(), "{role}");
    }
}
