//! What is true of every ledger after every commit, checked after anything at all has happened.

use std::path::Path;

use messages::{Outcome, Verdict};
use proptest::prelude::*;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use store::{ClaimDecision, Intake, LossCause, RetryPolicy, Unpublish};

use super::fixture::{Held, World, build, errored, life_of, question, report_of};

/// Statements that must find nothing.
const NEVER: [(&str, &str); 13] = [
    (
        "a queued job without an outbox row",
        "SELECT count(*) FROM jobs WHERE state = 'queued' AND id NOT IN (SELECT job FROM outbox)",
    ),
    (
        "an outbox row of a job that is not queued",
        "SELECT count(*) FROM outbox o JOIN jobs j ON j.id = o.job WHERE j.state <> 'queued'",
    ),
    (
        "a running job without a running attempt of its number",
        "SELECT count(*) FROM jobs j WHERE state = 'running' AND NOT EXISTS \
         (SELECT 1 FROM attempts a WHERE a.job = j.id AND a.number = j.attempt AND a.state = 'running')",
    ),
    (
        "a running attempt that is not its job's current one",
        "SELECT count(*) FROM attempts a JOIN jobs j ON j.id = a.job \
         WHERE a.state = 'running' AND (j.state <> 'running' OR j.attempt <> a.number)",
    ),
    (
        "an open job whose build is done",
        "SELECT count(*) FROM jobs j JOIN builds b ON b.id = j.build WHERE j.state <> 'done' AND b.state = 'done'",
    ),
    (
        "an open build whose jobs are all done",
        "SELECT count(*) FROM builds b WHERE b.state <> 'done' AND NOT EXISTS \
         (SELECT 1 FROM jobs j WHERE j.build = b.id AND j.state <> 'done')",
    ),
    (
        "a job that waits although its needs are all done",
        "SELECT count(*) FROM jobs j WHERE j.state = 'waiting' AND NOT EXISTS \
         (SELECT 1 FROM needs n JOIN jobs d ON d.id = n.needed WHERE n.job = j.id AND d.state <> 'done')",
    ),
    (
        "a job that was queued although a need of it had not passed",
        "SELECT count(*) FROM jobs j WHERE j.queued_at IS NOT NULL AND EXISTS (SELECT 1 FROM needs n \
         JOIN jobs d ON d.id = n.needed WHERE n.job = j.id AND (d.verdict IS NULL OR (d.verdict <> 'passed' AND d.filtered IS NULL AND \
         NOT (d.policy LIKE '%\"allow_failure\":true%' AND d.verdict IN ('failed', 'timed_out', 'errored')))))",
    ),
    (
        "two current jobs of one name in one build",
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE superseded = 0 GROUP BY build, name HAVING count(*) > 1)",
    ),
    (
        "a pool that counts wrong",
        "SELECT count(*) FROM pools p WHERE waiting <> (SELECT count(*) FROM jobs WHERE pool = p.name AND \
         state = 'waiting') OR queued <> (SELECT count(*) FROM jobs WHERE pool = p.name AND state = 'queued') \
         OR running <> (SELECT count(*) FROM jobs WHERE pool = p.name AND state = 'running')",
    ),
    (
        "a pool with open jobs that is not counted",
        "SELECT count(*) FROM jobs WHERE state <> 'done' AND pool NOT IN (SELECT name FROM pools)",
    ),
    (
        "a cap that was passed",
        "SELECT count(*) FROM jobs WHERE state <> 'done' AND (lost >= 3 OR errored >= 3 OR rounds >= 10)",
    ),
    (
        "a job that was tried more often than its pipeline wants",
        "SELECT count(*) FROM jobs WHERE failed > 1 OR timed_out > 1 OR (name <> 'e' AND failed + timed_out > 0)",
    ),
];

async fn connect(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).read_only(true).connect().await.expect("it connects")
}

pub(crate) async fn count(file: &Path, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(&mut connect(file).await).await.expect("it counts")
}

/// Panics with the name of what is wrong.
pub(crate) async fn check(file: &Path) {
    let mut connection = connect(file).await;
    for (what, statement) in NEVER {
        let found: i64 = sqlx::query_scalar(statement).fetch_one(&mut connection).await.expect("it counts");
        assert_eq!(found, 0, "{what}");
    }
}

#[derive(Debug, Clone)]
enum Deed {
    Push(u64),
    Claim(usize, bool),
    Finish(usize, u8),
    FinishTwoAtOnce(usize, usize),
    Lose(usize, bool),
    HandBack(usize),
    CancelJob(usize),
    CancelBuild(usize),
    Retry(usize),
    Publish(usize),
    Forget,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let at = 0..64_usize;
    prop_oneof![
        2 => (0..6_u64).prop_map(Deed::Push),
        6 => (at.clone(), any::<bool>()).prop_map(|(at, other)| Deed::Claim(at, other)),
        6 => (at.clone(), 0..7_u8).prop_map(|(at, how)| Deed::Finish(at, how)),
        1 => (at.clone(), at.clone()).prop_map(|(a, b)| Deed::FinishTwoAtOnce(a, b)),
        3 => (at.clone(), any::<bool>()).prop_map(|(at, ours)| Deed::Lose(at, ours)),
        1 => at.clone().prop_map(Deed::HandBack),
        1 => at.clone().prop_map(Deed::CancelJob),
        1 => at.clone().prop_map(Deed::CancelBuild),
        2 => at.clone().prop_map(Deed::Retry),
        2 => at.prop_map(Deed::Publish),
        1 => Just(Deed::Forget),
    ]
}

fn outcome(how: u8) -> Outcome {
    match how {
        0..=1 => Outcome::Passed,
        2 => Outcome::Failed,
        3 => Outcome::Cancelled,
        6 => Outcome::TimedOut { silence_seconds: None },
        4 => errored(true),
        _ => errored(false),
    }
}

/// Does one thing after the other, whether it makes sense or not, and checks after each.
async fn live(deeds: Vec<Deed>) {
    const JOBS: [(&str, &[usize]); 5] = [("a", &[]), ("b", &[0]), ("c", &[0]), ("d", &[1, 2]), ("e", &[])];
    let world = World::start().await;
    let (mut builds, mut held) = (Vec::new(), Vec::<Held>::new());
    for deed in deeds {
        let mut jobs = Vec::new();
        for id in &builds {
            jobs.extend(world.build(*id).await.jobs);
        }
        let job = |at: usize| jobs.get(at % jobs.len().max(1));
        let before: Vec<(messages::JobId, Option<Verdict>)> = jobs.iter().map(|job| (job.id, job.verdict)).collect();
        match deed.clone() {
            Deed::Push(commit) => {
                let mut new = build(commit, &JOBS);
                for job in new.plan.iter_mut().flatten() {
                    job.policy.allow_failure = job.name == "b";
                    if job.name == "e" {
                        job.policy.retry = RetryPolicy { failed: 1, timed_out: 1, errored: Some(1) };
                    }
                }
                if let Ok(jobs) = &mut new.plan
                    && let Some(job) = jobs.get_mut((commit as usize) % (2 * JOBS.len()))
                {
                    job.filtered = Some("not on this branch".into());
                }
                let (Intake::New(id) | Intake::Known(id)) = world.record(vec![new]).await[0];
                if !builds.contains(&id) {
                    builds.push(id);
                }
            }
            Deed::Claim(at, other) => {
                let Some(job) = job(at) else { continue };
                let runner = if other { "south" } else { "north" };
                let claims = vec![question(job.id, runner, 1)];
                let answer = world.ledger.claim(world.epoch, claims).await.expect("answered").remove(0);
                if let ClaimDecision::Run { attempt, token, .. } = answer {
                    let runner_name = runner.parse().expect("a name");
                    let incarnation = life_of(runner, 1);
                    held.push(Held { job: job.id, attempt, token, runner: runner_name, incarnation });
                }
            }
            Deed::Finish(at, how) if !held.is_empty() => {
                world.report(&held[at % held.len()], outcome(how)).await;
            }
            Deed::FinishTwoAtOnce(a, b) if !held.is_empty() => {
                let reports = [a, b].map(|at| report_of(&held[at % held.len()], Outcome::Passed)).to_vec();
                world.ledger.finish(world.epoch, reports).await.expect("answered");
            }
            Deed::Lose(at, ours) if !held.is_empty() => {
                let cause = if ours { LossCause::Infrastructure } else { LossCause::RunnerLost };
                world.lose(&held[at % held.len()], cause).await;
            }
            Deed::HandBack(at) if !held.is_empty() => {
                world.hand_back(&held[at % held.len()]).await;
            }
            Deed::CancelJob(at) => {
                let Some(job) = job(at) else { continue };
                world.ledger.cancel_job(job.id, "ada").await.expect("written");
            }
            Deed::CancelBuild(at) if !builds.is_empty() => {
                world.ledger.cancel_build(builds[at % builds.len()], "ada").await.expect("written");
            }
            Deed::Retry(at) => {
                let Some(job) = job(at) else { continue };
                world.ledger.retry_job(job.id, "ada").await.expect("written");
            }
            Deed::Publish(at) => {
                let jobs = world.to_publish().await.into_iter().take(at).collect();
                world.ledger.mark_published(world.epoch, jobs).await.expect("written");
            }
            Deed::Forget => {
                world.ledger.mark_unpublished(world.epoch, Unpublish::Everything).await.expect("written");
            }
            _ => {}
        }
        check(&world.file()).await;
        for (id, verdict) in before {
            let after = world.ledger.job(id).await.expect("read").expect("no job vanishes");
            assert!(verdict.is_none() || after.verdict == verdict, "{deed:?} changed a verdict");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_in_whatever_order_the_ledger_stays_whole(
        deeds in proptest::collection::vec(any_deed(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(live(deeds));
    }
}
