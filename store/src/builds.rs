//! What a build's state and verdict are, given its jobs; worked out once per transaction.

use std::collections::BTreeMap;

use messages::{BuildId, ErroredReason, Verdict};
use sqlx::QueryBuilder;

use crate::from_row::from_row;
use crate::moves::may_be_allowed;
use crate::rows::{self, reason_of, state_word, verdict_of};
use crate::sql::{lists, push_list};
use crate::sqlite::Db;
use crate::transaction::Tx;
use crate::{LedgerError, Policy, State};

/// What matters about a job for its build.
#[derive(Debug, Clone)]
pub(crate) struct JobInBuild {
    pub(crate) state: State,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<ErroredReason>,
    pub(crate) has_started: bool,
    /// Its failure does not count.
    pub(crate) allow_failure: bool,
}

/// State, verdict and reason of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildOutcome {
    pub(crate) state: State,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<ErroredReason>,
}

/// The outcome of a build whose jobs (only the newest of each name) these are.
pub(crate) fn outcome_of(jobs: &[JobInBuild]) -> BuildOutcome {
    let any = |state: State| jobs.iter().any(|job| job.state == state);
    if jobs.iter().all(|job| job.state == State::Done) {
        let counted = |job: &JobInBuild| match job.verdict {
            Some(verdict) if job.allow_failure && may_be_allowed(verdict) => Some(Verdict::Passed),
            verdict => verdict,
        };
        let verdict = Verdict::of_build(jobs.iter().filter_map(counted));
        let errored = jobs.iter().filter(|job| counted(job) == Some(Verdict::Errored));
        let reason = (verdict == Verdict::Errored).then(|| errored.map(|job| job.reason.clone()).next()).flatten();
        let reason = reason.flatten();
        return BuildOutcome { state: State::Done, verdict: Some(verdict), reason };
    }
    // Between two of its jobs a build still runs: it has begun and is not done.
    let state = if any(State::Running) || jobs.iter().any(|job| job.has_started && job.state == State::Done) {
        State::Running
    } else if any(State::Queued) {
        State::Queued
    } else {
        State::Waiting
    };
    BuildOutcome { state, verdict: None, reason: None }
}

from_row! {
    struct Row {
        build: String,
        state: String,
        verdict: Option<String>,
        reason_kind: Option<String>,
        reason_detail: Option<String>,
        attempt: i64,
        policy: String,
        build_state: String,
    }
}

/// Brings the rows of these builds up to date with their jobs.
pub(crate) async fn settle(tx: &mut Tx, builds: &[BuildId]) -> Result<(), LedgerError> {
    let mut jobs: BTreeMap<String, (String, Vec<JobInBuild>)> = BTreeMap::new();
    for list in lists(builds) {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT j.build, j.state, j.verdict, j.reason_kind, j.reason_detail, j.attempt, j.policy, b.state AS build_state \
             FROM jobs j JOIN builds b ON b.id = j.build WHERE j.superseded = 0 AND j.build IN ",
        );
        push_list(&mut query, &rows::texts(list));
        query.push(" ORDER BY j.position");
        for row in query.build_query_as::<Row>().fetch_all(&mut tx.conn).await? {
            let job = JobInBuild {
                state: rows::state_of(&row.state)?,
                verdict: verdict_of(row.verdict.as_deref())?,
                reason: reason_of(row.reason_kind.as_deref(), row.reason_detail)?,
                has_started: row.attempt > 0,
                allow_failure: rows::json::<Policy>(&row.policy)?.allow_failure,
            };
            jobs.entry(row.build).or_insert_with(|| (row.build_state, Vec::new())).1.push(job);
        }
    }
    // Builds with the same outcome share a statement.
    let mut groups: Vec<(BuildOutcome, Vec<String>)> = Vec::new();
    for (build, (before, jobs)) in jobs {
        let outcome = outcome_of(&jobs);
        if state_word(outcome.state) == before && outcome.state != State::Done {
            continue;
        }
        match groups.iter_mut().find(|(other, _)| *other == outcome) {
            Some((_, same)) => same.push(build),
            None => groups.push((outcome, vec![build])),
        }
    }
    for (outcome, same) in groups {
        write(tx, &outcome, &same).await?;
    }
    Ok(())
}

async fn write(tx: &mut Tx, outcome: &BuildOutcome, builds: &[String]) -> Result<(), LedgerError> {
    let now_if = |state| (outcome.state == state).then_some(tx.now);
    let (started_at, finished_at) = (now_if(State::Running), now_if(State::Done));
    for list in lists(builds) {
        let mut query = QueryBuilder::<Db>::new("UPDATE builds SET state = ");
        query.push_bind(state_word(outcome.state));
        query.push(", verdict = ").push_bind(outcome.verdict.map(Verdict::as_str));
        query.push(", reason_kind = ").push_bind(outcome.reason.as_ref().map(|reason| reason.kind.as_str()));
        query.push(", reason_detail = ").push_bind(outcome.reason.as_ref().map(|reason| reason.detail.clone()));
        query.push(", started_at = coalesce(started_at, ").push_bind(started_at).push(")");
        query.push(", finished_at = ").push_bind(finished_at);
        query.push(" WHERE id IN ");
        push_list(&mut query, list);
        query.build().execute(&mut tx.conn).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: State, verdict: Option<Verdict>) -> JobInBuild {
        let has_started = matches!(verdict, Some(Verdict::Passed));
        JobInBuild { state, verdict, reason: None, has_started, allow_failure: false }
    }

    #[test]
    fn a_build_between_two_jobs_still_runs() {
        let jobs = [job(State::Done, Some(Verdict::Passed)), job(State::Queued, None)];
        assert_eq!(outcome_of(&jobs).state, State::Running);
    }

    #[test]
    fn a_skipped_dependant_does_not_hide_the_failed_need() {
        let jobs = [job(State::Done, Some(Verdict::Failed)), job(State::Done, Some(Verdict::Skipped))];
        assert_eq!(outcome_of(&jobs).verdict, Some(Verdict::Failed));
    }

    #[test]
    fn an_allowed_failure_is_no_failure_of_the_build_but_a_cancel_is_a_cancel() {
        let allowed = |verdict| JobInBuild { allow_failure: true, ..job(State::Done, Some(verdict)) };
        for verdict in [Verdict::Failed, Verdict::TimedOut, Verdict::Errored] {
            let outcome = outcome_of(&[job(State::Done, Some(Verdict::Passed)), allowed(verdict)]);
            assert_eq!((outcome.verdict, outcome.reason), (Some(Verdict::Passed), None), "{verdict}");
        }
        assert_eq!(outcome_of(&[allowed(Verdict::Cancelled)]).verdict, Some(Verdict::Cancelled));
        let with_failed = [allowed(Verdict::Errored), job(State::Done, Some(Verdict::Failed))];
        assert_eq!(outcome_of(&with_failed).verdict, Some(Verdict::Failed));
    }

    #[test]
    fn a_build_waits_until_its_first_job_is_queued() {
        assert_eq!(outcome_of(&[job(State::Waiting, None)]).state, State::Waiting);
        assert_eq!(outcome_of(&[job(State::Waiting, None), job(State::Queued, None)]).state, State::Queued);
    }
}
