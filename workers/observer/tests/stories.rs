//! What must not go wrong between a push and `recorded`: real repositories, the embedded broker, and a
//! dispatcher that only answers.
#![allow(unreachable_pub, reason = "the world's verbs are for this program alone")]

mod world;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use messages::{Arrival, CommitId, PipelineSource};
use observer::{Depth, ObserverError, Settings, announce_tips_once};
use tokio_util::sync::CancellationToken;
use world::scratch::{Scratch, git};
use world::{World, until};

/// Announced once each? Only with a patience no story reaches.
fn patient(world: &World, typed: &[&Path]) -> Settings {
    Settings { announce_again: Duration::from_secs(600), ..world.settings(world.resolve(typed)) }
}

fn subjects(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

fn texts(subjects: &[String]) -> Vec<&str> {
    subjects.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_commits_of_one_push_are_announced_once_each_and_oldest_first() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("repo", &first).await;
    assert_eq!(world.arrived()[0].arrival, Arrival::Initial);
    let pushed = repo.commits("main", &texts(&subjects(50)));
    world.until_cursor("repo", &pushed[49]).await;
    assert_eq!(world.commits_of("repo"), [&[first][..], &pushed].concat());
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_pushes_within_a_second_lose_no_commit_and_repeat_none() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("repo", &first).await;
    let mut pushed = vec![first];
    pushed.extend(subjects(50).iter().map(|subject| repo.commit("main", subject)));
    world.until_cursor("repo", &pushed[50]).await;
    assert_eq!(world.commits_of("repo"), pushed);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_by_the_git_program_to_a_bare_repository_is_seen_without_a_poll() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    // Only the file watch can see it: the poll comes long after the end of the story.
    let watching =
        world.watch_with(Settings { local_poll: Duration::from_secs(3600), ..patient(&world, &[&repo.path]) });
    world.until_cursor("repo", &first).await;
    let clone = repo.beside("clone");
    repo.git(&["clone", "--quiet", "--branch", "main", ".", &clone.display().to_string()]);
    for (branch, refs) in [("main", "HEAD:refs/heads/main"), ("deep/er/est", "HEAD:refs/heads/deep/er/est")] {
        git(&clone, &["commit", "--quiet", "--allow-empty", "-m", branch]);
        git(&clone, &["push", "--quiet", "origin", refs]);
        let pushed = repo.tip(branch).expect("pushed");
        world.until_commit(&pushed).await;
    }
    repo.git(&["pack-refs", "--all", "--prune"]);
    git(&clone, &["commit", "--quiet", "--allow-empty", "-m", "after packing"]);
    git(&clone, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    world.until_commit(&repo.tip("main").expect("pushed")).await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn force_push_new_branch_moved_back_and_deleted_branch_each_bring_what_is_new() {
    let (world, repo) = (World::start().await, Scratch::with_working_tree());
    let main = repo.commits("main", &["1", "2", "3"]);
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("work", &main[2]).await;

    let forced = repo.loose_commit(repo.tree(&[("a", "b")]), &[&main[0]], "forced");
    repo.set("main", &forced);
    world.until_cursor("work", &forced).await;
    repo.set("topic", &main[0]);
    let topic = repo.commits("topic", &["t1", "t2"]);
    world.until_cursor("work", &topic[1]).await;
    repo.set("topic", &main[0]);
    world.until("the old tip again", |seen| seen.iter().any(|seen| seen.arrival == Arrival::MovedBack)).await;
    repo.delete("topic");
    let after = repo.commit("main", "after");
    world.until_cursor("work", &after).await;

    let of = |branch: &str| -> Vec<CommitId> {
        let seen = world.arrived();
        seen.iter().filter(|seen| seen.ref_name.short() == branch).map(|seen| seen.commit.clone()).collect()
    };
    assert_eq!(of("main"), [main[2].clone(), forced, after]);
    // The branch was made at an old commit and then moved, so the watch may have seen that step as well.
    let steps: Vec<_> = of("topic").into_iter().filter(|commit| *commit != main[0]).collect();
    assert_eq!(steps, topic);
    assert_eq!(of("topic").last(), Some(&main[0]));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_is_watched_and_its_first_push_is_announced_whole() {
    let (world, repo) = (World::start().await, Scratch::with_working_tree());
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    let cursor = world.data.path().join("cursors/work.json");
    until("the first look", || cursor.exists()).await;
    let pushed = repo.commits("main", &["1", "2"]);
    world.until_cursor("work", &pushed[1]).await;
    assert_eq!(world.commits_of("work"), pushed);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_observer_goes_on_where_it_was_and_repeats_only_what_is_not_recorded() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("repo", &first).await;

    world.answering.store(false, Ordering::SeqCst);
    let unrecorded = repo.commits("main", &["1", "2"]);
    world.until_commit(&unrecorded[1]).await;
    watching.kill().await;
    let missed = repo.commits("main", &["3", "4"]);
    world.answering.store(true, Ordering::SeqCst);

    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("repo", &missed[1]).await;
    let expected = [&[first][..], &unrecorded, &unrecorded, &missed].concat();
    assert_eq!(world.commits_of("repo"), expected);
    let ids: Vec<_> = world.arrived().iter().map(messages::CommitSeen::message_id).collect();
    assert_eq!(ids[1..3], ids[3..5]);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_brings_the_announcement_again() {
    let (world, repo) = (World::start().await, Scratch::bare());
    world.answering.store(false, Ordering::SeqCst);
    let tip = repo.commit("main", "0");
    let watching = world.watch(&[&repo.path]);
    world.until("a repeat", |seen| seen.len() >= 2).await;
    assert!(!world.data.path().join("cursors/repo.json").exists());
    world.answering.store(true, Ordering::SeqCst);
    world.until_cursor("repo", &tip).await;
    assert!(world.commits_of("repo").iter().all(|commit| *commit == tip));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commit_is_not_announced_for_ever() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let tip = repo.commit("main", "0");
    *world.refusing.lock().expect("no panic") = Some(tip.clone());
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("repo", &tip).await;
    assert_eq!(world.commits_of("repo"), [tip]);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dispatcher_the_observer_waits_and_loses_nothing() {
    let (world, repo) = (World::without_queues(), Scratch::bare());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    // Nothing can be seen from outside before the queue exists, so the pushes just happen meanwhile.
    let pushed = repo.commits("main", &["1", "2"]);
    world.declare().await;
    world.until_commit(&pushed[1]).await;
    let last = repo.commit("main", "3");
    world.until_cursor("repo", &last).await;
    let arrived = world.commits_of("repo");
    assert!(arrived.contains(&first) || arrived[0] == pushed[1], "{arrived:?}");
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_repositories_delay_nobody_and_are_watched_again_when_they_are_mended() {
    let world = World::start().await;
    let (good, removed, corrupt) = (Scratch::bare(), Scratch::bare(), Scratch::bare());
    let tips = [&good, &removed, &corrupt].map(|repo| repo.commit("main", "0"));
    let mut watched = world.resolve(&[&good.path, &removed.path, &corrupt.path]);
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port() };
    let url = format!("git://127.0.0.1:{closed}/nothing");
    watched.extend(observer::resolve(&[url], world.data.path()).expect("a URL"));
    let names: Vec<_> = watched.iter().map(|watched| watched.source.name.to_string()).collect();
    let away = removed.beside("away");
    std::fs::rename(&removed.path, &away).expect("moved");
    std::fs::create_dir_all(world.data.path().join("cursors")).expect("made");
    let cursor = world.data.path().join("cursors").join(format!("{}.json", names[2]));
    std::fs::write(&cursor, "{").expect("written");

    let settings = Settings { local_poll: Duration::from_secs(1), ..patient(&world, &[]) };
    let watching = world.watch_with(Settings { repositories: watched, ..settings });
    world.until_cursor(&names[0], &tips[0]).await;
    let pushed = good.commit("main", "1");
    world.until_cursor(&names[0], &pushed).await;
    assert_eq!(world.arrived().len(), 2);
    assert_eq!(std::fs::read_to_string(&cursor).expect("there"), "{");

    std::fs::rename(&away, &removed.path).expect("moved back");
    std::fs::remove_file(&cursor).expect("removed");
    world.until_cursor(&names[1], &tips[1]).await;
    world.until_cursor(&names[2], &tips[2]).await;
    let later = removed.commit("main", "later");
    world.until_cursor(&names[1], &later).await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_replaced_under_the_watch_is_watched_on() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    let settings = Settings { local_poll: Duration::from_secs(1), ..patient(&world, &[&repo.path]) };
    let watching = world.watch_with(settings);
    world.until_cursor("repo", &first).await;
    let copy = repo.beside("copy.git");
    repo.git(&["clone", "--quiet", "--mirror", ".", &copy.display().to_string()]);
    std::fs::rename(&repo.path, repo.beside("old.git")).expect("moved");
    std::fs::rename(&copy, &repo.path).expect("moved");
    let next = repo.commit("main", "1");
    world.until_cursor("repo", &next).await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_is_mirrored_by_the_git_program_and_a_ruined_mirror_is_made_anew() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let hostile = "--upload-pack=touch pwn;$(touch pwn)".replace(' ', "_");
    let main = repo.commit("main", "0");
    repo.set(&hostile, &main);
    let url = format!("file://{}", repo.path.display());
    let watched = observer::resolve(std::slice::from_ref(&url), world.data.path()).expect("a URL");
    let settings = Settings { repositories: watched, ..patient(&world, &[]) };
    let watching = world.watch_with(settings.clone());
    world.until("both branches", |seen| seen.len() == 2).await;
    assert!(world.arrived().iter().all(|seen| seen.repository.url == url));
    let pushed = repo.commits("main", &["1", "2"]);
    world.until_cursor("repo", &pushed[1]).await;

    let mirror = world.data.path().join("mirrors/repo.git");
    std::fs::remove_file(mirror.join("HEAD")).expect("removed");
    let next = repo.commits("main", &["3", "4"]);
    world.until_cursor("repo", &next[1]).await;
    watching.stop().await;

    // Away and back between two lives of the observer, and force-pushed meanwhile.
    std::fs::remove_dir_all(&mirror).expect("removed");
    let base = repo.tip("main").expect("there");
    repo.set("main", &main);
    let forced = repo.commit("main", "forced");
    assert_ne!(base, forced);
    let watching = world.watch_with(settings);
    world.until_cursor("repo", &forced).await;
    let seen: Vec<_> =
        world.arrived().into_iter().filter(|seen| seen.ref_name.short() == "main").map(|seen| seen.commit).collect();
    assert_eq!(seen, [&[main][..], &pushed, &next, &[forced]].concat());
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_accepts_and_says_nothing_is_given_up_and_delays_nobody() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let tip = repo.commit("main", "0");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("git://{}/nothing", silent.local_addr().expect("bound"));
    let mut watched = world.resolve(&[&repo.path]);
    watched.extend(observer::resolve(&[url], world.data.path()).expect("a URL"));
    let settings = Settings { git_idle: Duration::from_millis(300), ..patient(&world, &[]) };
    let settings = Settings { repositories: watched, ..settings };
    let report = announce_tips_once(settings, world.broker(), CancellationToken::new()).await.expect("a report");
    assert_eq!(report.announced.len(), 1);
    assert_eq!(report.announced[0].commit, tip);
    let why = report.unreadable.values().next().expect("the silent one");
    assert!(why.contains("silent") || why.contains("longer"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_look_announces_tips_and_leaves_the_cursor_to_the_watch() {
    let (world, repo) = (World::start().await, Scratch::with_working_tree());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("work", &first).await;
    watching.stop().await;
    let missed = repo.commits("main", &["1", "2"]);
    let settings = patient(&world, &[&repo.path]);
    let report =
        announce_tips_once(settings.clone(), world.broker(), CancellationToken::new()).await.expect("a report");
    assert_eq!(report.announced.iter().map(|tip| &tip.commit).collect::<Vec<_>>(), [&missed[1]]);
    assert!(report.unreadable.is_empty() && report.refused.is_empty());
    *world.refusing.lock().expect("no panic") = Some(missed[1].clone());
    let report =
        announce_tips_once(settings.clone(), world.broker(), CancellationToken::new()).await.expect("a report");
    assert!(report.announced.is_empty());
    assert_eq!(report.refused[0].1, "for the story");
    let watching = world.watch_with(settings);
    world.until_cursor("work", &missed[1]).await;
    assert!(world.commits_of("work").contains(&missed[0]));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_pipeline_file_is_not_followed_and_tips_only_says_what_it_left_out() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(Settings { depth: Depth::TipsOnly, ..patient(&world, &[&repo.path]) });
    world.until_cursor("repo", &first).await;
    let between = repo.loose_commit(repo.tree(&[("a", "b")]), &[&first], "between");
    let link = repo.loose_commit(repo.tree_of(".thump.toml", b"/etc/passwd", 0o120_000), &[&between], "link");
    repo.set("main", &link);
    world.until_cursor("repo", &link).await;
    let arrived = world.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[1].skipped_before, 1);
    assert!(matches!(arrived[1].pipeline, PipelineSource::Unreadable { .. }), "{:?}", arrived[1].pipeline);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_vanished_before_it_was_announced_does_not_hold_up_the_others() {
    let (world, repo) = (World::without_queues(), Scratch::bare());
    let base = repo.commit("main", "0");
    let lost = repo.loose_commit(repo.tree(&[("a", "b")]), &[&base], "lost");
    repo.set("lost", &lost);
    let watching = world.watch(&[&repo.path]);
    until("the first look", || world.data.path().join("observer.lock").exists()).await;
    repo.delete("lost");
    std::fs::remove_file(repo.path.join("objects").join(&lost.as_str()[..2]).join(&lost.as_str()[2..]))
        .expect("removed");
    world.declare().await;
    let next = repo.commit("main", "1");
    world.until_cursor("repo", &next).await;
    assert!(!world.commits_of("repo").contains(&lost));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_observers_on_one_folder_are_one_too_many() {
    let (world, repo) = (World::start().await, Scratch::bare());
    let first = repo.commit("main", "0");
    let watching = world.watch_with(patient(&world, &[&repo.path]));
    world.until_cursor("repo", &first).await;
    let second = observer::run(patient(&world, &[&repo.path]), world.broker(), CancellationToken::new()).await;
    assert!(matches!(second, Err(ObserverError::InUse(_))), "{second:?}");
    let pattern = Settings { branches: vec!["[".to_owned()], ..patient(&world, &[&repo.path]) };
    let bad = observer::run(pattern, world.broker(), CancellationToken::new()).await;
    assert!(matches!(bad, Err(ObserverError::Pattern { .. })), "{bad:?}");
    watching.stop().await;
}
