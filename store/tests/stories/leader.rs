//! One dispatcher writes; a former one is refused.

use messages::Outcome;
use store::LedgerError;

use super::fixture::{World, build, open_in};

#[tokio::test]
async fn while_one_leads_nobody_else_does_not_even_in_the_same_process() {
    let world = World::start().await;
    assert_eq!(world.ledger.lead("same handle").await.expect("asked"), None);
    assert_eq!(world.ledger.clone().lead("a clone").await.expect("asked"), None);
    let standby = open_in(&world.folder).await;
    assert_eq!(standby.lead("standby").await.expect("asked"), None);
    world.ledger.renew(world.epoch).await.expect("it still leads");
}

/// A dispatcher that gives up on a locked ledger must not stand in its own way when it is free again.
#[tokio::test]
async fn who_stops_waiting_for_the_end_of_its_lead_can_lead_again() {
    let world = World::start().await;
    drop(tokio::time::timeout(std::time::Duration::ZERO, world.ledger.resign(world.epoch)).await);
    let again = world.ledger.lead("the same one").await.expect("asked");
    assert!(again.is_some_and(|epoch| epoch > world.epoch), "{again:?}");
}

#[tokio::test]
async fn what_a_deposed_leader_still_writes_is_refused() {
    let world = World::start().await;
    let id = world.push(1, &[("test", &[])]).await;
    let held = world.claim(world.job(id, "test").await.id, "north").await;
    let standby = open_in(&world.folder).await;
    world.ledger.resign(world.epoch).await.expect("resigned");
    let epoch = standby.lead("standby").await.expect("asked").expect("nobody leads");
    assert!(epoch > world.epoch);

    let old = world.epoch;
    assert!(matches!(world.ledger.renew(old).await, Err(LedgerError::Deposed)));
    let refused = world.ledger.record_builds(old, vec![build(2, &[("test", &[])])]).await;
    assert!(matches!(refused, Err(LedgerError::Deposed)));
    let reports = vec![super::fixture::report_of(&held, Outcome::Failed)];
    assert!(matches!(world.ledger.finish(old, reports.clone()).await, Err(LedgerError::Deposed)));
    assert_eq!(world.build(id).await.verdict, None);
    standby.finish(epoch, reports).await.expect("the new leader writes");
    assert!(world.ledger.cancel_build(id, "ada").await.is_ok(), "people need no leadership");
}

#[tokio::test]
async fn a_refused_write_does_not_take_others_with_it() {
    let world = World::start().await;
    let old = store::Epoch(world.epoch.0 - 1);
    let mut writes = tokio::task::JoinSet::new();
    for commit in 0..40 {
        let (ledger, good) = (world.ledger.clone(), commit % 2 == 0);
        let epoch = if good { world.epoch } else { old };
        writes.spawn(async move {
            let answer = ledger.record_builds(epoch, vec![build(commit, &[("test", &[])])]).await;
            assert_eq!(answer.is_ok(), good);
        });
    }
    while let Some(outcome) = writes.join_next().await {
        outcome.expect("as expected");
    }
    assert_eq!(world.to_publish().await.len(), 20);
    super::invariants::check(&world.file()).await;
}
