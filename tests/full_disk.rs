//! P9: a full disk ends no role, costs no verdict and is never a red test; all works again when there is room.

use std::time::{Duration, Instant};

use crate::world::small_disk::SmallDisk;
use crate::world::{Carrier, World, measure};

/// By then everything works again.
const BACK: Duration = Duration::from_secs(10);

/// Fails on a full disk, through no fault of the code under test.
const NEEDS_ROOM: &str = "head -c 1000000 /dev/zero > big";

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_with_a_full_disk_takes_nothing_and_blames_no_test() {
    let mut world = World::new(Carrier::Rabbit).await;
    let Some(disk) = SmallDisk::at(&world.path("runner"), 24) else { return };
    let repository = world.repository("app");
    world.start().await;
    let ends = repository.push_job(&format!("{}; {}", world.append("ran", "ends $THUMP_ATTEMPT"), world.until("go")));
    crate::world::lines_in(&world.path("ran"), 1).await;

    disk.fill();
    world.make("go");
    let pushed: Vec<String> = (0..3)
        .map(|n| repository.push_job(&format!("{} && {} # {n}", NEEDS_ROOM, world.append("ran", "pushed"))))
        .collect();
    assert_eq!(world.verdict(&ends).await, "passed", "its verdict needs no room");
    let runner = world
        .eventually("the runner to be quarantined", || async {
            let runners = world.api("/api/v1/runners").await?;
            let runner = runners["runners"][0].clone();
            (runner["state"] == "quarantined").then_some(runner)
        })
        .await;
    assert!(runner["trouble"].as_str().is_some_and(|why| why.contains("disk")), "{runner}");
    let (_, page) = world.get("/runners").await;
    assert!(page.contains("quarantined") && page.contains("write to the disk"), "{page}");
    let (_, out, _) = world.thump(&["runners"]).await;
    assert!(out.contains("takes no jobs: write to the disk"), "{out}");
    measure::none_spins(&world.pids(), Duration::from_secs(8)).await;
    for commit in &pushed {
        let build = world.builds(commit).await[0].clone();
        assert_eq!(build["state"], "queued", "the queue is not eaten: {build}");
    }

    disk.clear();
    let begun = Instant::now();
    for commit in &pushed {
        assert_eq!(world.verdict(commit).await, "passed");
    }
    measure::note(&format!("works again after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    assert_eq!(world.lines("ran"), ["ends 1", "pushed", "pushed", "pushed"], "each came to its end once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_with_a_full_disk_takes_nothing_and_forgets_nothing() {
    let mut world = World::new(Carrier::Rabbit).await;
    let Some(disk) = SmallDisk::at(&world.path("dispatcher"), 12) else { return };
    let repository = world.repository("app");
    world.start().await;
    let ends = repository.push_job(&format!("{}; {}", world.append("ran", "$THUMP_ATTEMPT"), world.until("go")));
    world.running_job(&ends).await;

    disk.fill();
    world.make("go");
    let pushed = repository.push_job(&world.append("ran", "pushed"));
    world.fault_named("the ledger takes no writes").await;
    measure::none_spins(&world.pids(), Duration::from_secs(5)).await;
    let (status, page) = world.get("/").await;
    assert!(status == 200 && page.contains("the ledger takes no writes"), "{page}");
    assert_eq!(world.builds(&ends).await[0]["state"], "running");

    disk.clear();
    let begun = Instant::now();
    assert_eq!(world.verdict(&ends).await, "passed");
    assert_eq!(world.verdict(&pushed).await, "passed");
    measure::note(&format!("works again after {:?}", begun.elapsed()));
    world.eventually("no fault", || async { world.faults().await.is_empty().then_some(()) }).await;
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    assert_eq!(world.lines("ran"), ["1", "pushed"], "no attempt was lost");
    assert_eq!(world.dead_letters().await, 0, "no message was worn out");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_with_a_full_disk_announces_on_and_notes_it_later() {
    let mut world = World::new(Carrier::Rabbit).await;
    let Some(disk) = SmallDisk::at(&world.path("observer"), 4) else { return };
    let repository = world.repository("app");
    world.start().await;
    let first = repository.push_job("true");
    assert_eq!(world.verdict(&first).await, "passed");
    let cursor = world.path("observer/observer/cursors/app.json");
    let noted = |commit: &str| std::fs::read_to_string(&cursor).is_ok_and(|text| text.contains(commit));
    world.eventually("the cursor", || async { noted(&first).then_some(()) }).await;

    disk.fill();
    let second = repository.push_job("true # second");
    assert_eq!(world.verdict(&second).await, "passed", "a commit needs no room");
    measure::none_spins(&world.pids(), Duration::from_secs(5)).await;
    assert!(noted(&first) && !noted(&second), "what was noted before is still there");

    disk.clear();
    let begun = Instant::now();
    world.eventually("the cursor", || async { noted(&second).then_some(()) }).await;
    assert!(begun.elapsed() < BACK, "it took {:?}", begun.elapsed());
    assert!(world.process("observer").runs());
}
