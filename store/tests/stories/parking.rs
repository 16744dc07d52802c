//! What ended errored waits for a person, with the evidence of each attempt, and is run again once.

use messages::{ErroredKind, Outcome};
use store::parking::{EndCause, NotParked, Standing};
use store::{LossCause, Requeue};

use super::fixture::{World, errored};

/// A job that lost its runner three times.
async fn parked(world: &World, commit: u64) -> messages::JobId {
    let build = world.push(commit, &[("test", &[]), ("after", &[0])]).await;
    let id = world.job(build, "test").await.id;
    for runner in ["north", "south", "west"] {
        let held = world.claim(id, runner).await;
        world.lose(&held, LossCause::RunnerLost).await;
    }
    id
}

#[tokio::test]
async fn a_job_that_lost_three_runners_is_parked_with_three_pieces_of_evidence() {
    let world = World::start().await;
    let id = parked(&world, 1).await;
    let listed = world.ledger.parked_jobs(None, 50).await.expect("read");
    assert_eq!(listed.iter().map(|parked| parked.job.id).collect::<Vec<_>>(), [id]);
    assert_eq!((listed[0].standing, listed[0].counts.lost, listed[0].counts.rounds), (Standing::Parked, 3, 3));
    assert_eq!(listed[0].job.reason.as_ref().map(|reason| reason.kind), Some(ErroredKind::RunnerLost));
    let attempts = world.ledger.attempts(id).await.expect("read");
    let told: Vec<_> = attempts
        .iter()
        .map(|one| (one.runner.to_string(), one.cause, one.detail.as_str(), one.finished_at.is_some()))
        .collect();
    for (found, runner) in told.iter().zip(["north", "south", "west"]) {
        assert_eq!(*found, (runner.to_owned(), Some(EndCause::RunnerLost), "beats ended", true));
    }
    assert_eq!(EndCause::RunnerLost.counts_towards().len(), 2, "towards both caps");
}

#[tokio::test]
async fn each_cause_is_kept_and_a_verdict_counts_towards_nothing() {
    let world = World::start().await;
    let build = world.push(1, &[("test", &[])]).await;
    let id = world.job(build, "test").await.id;
    world.lose(&world.claim(id, "a").await, LossCause::Infrastructure).await;
    world.hand_back(&world.claim(id, "b").await).await;
    world.report(&world.claim(id, "c").await, errored(true)).await;
    world.report(&world.claim(id, "d").await, Outcome::Failed).await;
    let causes: Vec<_> = world.ledger.attempts(id).await.expect("read").into_iter().map(|one| one.cause).collect();
    assert_eq!(causes, [Some(EndCause::Infrastructure), None, Some(EndCause::Errored), None]);
    assert!(world.ledger.parked_jobs(None, 50).await.expect("read").is_empty(), "a red test is not parked");
    assert_eq!(world.ledger.replay_job(id, "ada").await.expect("works"), Err(NotParked::NotErrored));
}

#[tokio::test]
async fn a_parked_job_is_run_again_once_and_who_asked_is_kept() {
    let world = World::start().await;
    let id = parked(&world, 1).await;
    let (first, second) = tokio::join!(world.ledger.replay_job(id, "ada"), world.ledger.replay_job(id, "bob"));
    let again = first.expect("works").expect("run again");
    assert_eq!(second.expect("works"), Err(NotParked::RunAgain(again)));
    assert!(world.ledger.parked_jobs(None, 50).await.expect("read").is_empty());
    let old = world.ledger.parked_job(id).await.expect("read").expect("in history");
    assert_eq!(old.standing, Standing::RunAgain(again));
    let new = world.ledger.job(again).await.expect("read").expect("there");
    assert_eq!(new.retry_of, Some(id));
    let orders = world.ledger.orders_about(&id.to_string()).await.expect("read");
    assert_eq!(
        orders.iter().map(|one| (one.who.as_str(), one.action.as_str())).collect::<Vec<_>>(),
        [("ada", "replay_job")]
    );
    assert!(world.to_publish().await.contains(&again));
}

#[tokio::test]
async fn a_discarded_job_is_off_the_list_stays_in_history_and_can_still_be_run_again() {
    let world = World::start().await;
    let (older, newer) = (parked(&world, 1).await, parked(&world, 2).await);
    assert_eq!(world.ledger.discard_job(newer, "ada").await.expect("works"), Ok(()));
    assert_eq!(world.ledger.discard_job(newer, "ada").await.expect("works"), Err(NotParked::Discarded));
    let listed: Vec<_> = world.ledger.parked_jobs(None, 50).await.expect("read").iter().map(|one| one.job.id).collect();
    assert_eq!(listed, [older]);
    assert_eq!(world.ledger.parked_job(newer).await.expect("read").map(|one| one.standing), Some(Standing::Discarded));
    assert!(world.ledger.replay_job(newer, "ada").await.expect("works").is_ok());
    let unknown = messages::JobId(messages::MessageId::of(&["nobody"]).0);
    assert_eq!(world.ledger.discard_job(unknown, "ada").await.expect("works"), Err(NotParked::Unknown));
}

#[tokio::test]
async fn the_list_is_walked_page_by_page_newest_first() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for commit in 0..7 {
        ids.push(parked(&world, commit).await);
    }
    ids.reverse();
    let (mut walked, mut before) = (Vec::new(), None);
    loop {
        let page = world.ledger.parked_jobs(before, 3).await.expect("read");
        let Some(last) = page.last() else { break };
        before = Some(last.job.id);
        walked.extend(page.iter().map(|one| one.job.id));
    }
    assert_eq!(walked, ids);
    let held = world.claim(world.ledger.replay_job(ids[0], "ada").await.expect("works").expect("again"), "x").await;
    assert_eq!(world.lose(&held, LossCause::RunnerLost).await, Requeue::Queued, "the new job starts at nought");
}
