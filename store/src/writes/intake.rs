//! Commits become builds with their jobs. The same announcement makes the same build, however often it comes.

use std::collections::{BTreeMap, HashMap};

use messages::{BuildId, CommitSeen, ErroredKind, ErroredReason, JobId, RepositoryName, Verdict};
use seams::{Defect, chance, planted};
use sqlx::QueryBuilder;

use crate::builds::{BuildOutcome, JobInBuild, outcome_of};
use crate::lifecycle::{self, JobEvent, JobState};
use crate::moves;
use crate::rows::{self, parse, shown, state_word, to_count, to_json};
use crate::sql::{lists, pieces, push_list};
use crate::sqlite::Db;
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::intake_rows::{BuildRow, JobRow, put_builds, put_jobs, put_needs};
use crate::{ChangeSubject, Intake, LedgerError, NewBuild, NewJob};

/// [`crate::Ledger::record_builds`].
pub(crate) struct Record(pub(crate) Vec<NewBuild>);

impl Write for Record {
    type Answer = Vec<Intake>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        let again = || if planted(Defect::IntakeTwice) { chance::ordered_id().to_string() } else { String::new() };
        let keys: Vec<String> = self.0.iter().map(|build| build.seen.message_id().to_string() + &again()).collect();
        let mut known = find(tx, &keys).await?;
        let (mut answers, mut fresh) = (Vec::new(), Vec::new());
        for (build, key) in self.0.iter().zip(keys) {
            if let Some(id) = known.get(&key) {
                answers.push(Intake::Known(*id));
                continue;
            }
            let id = BuildId(chance::ordered_id());
            known.insert(key.clone(), id);
            answers.push(Intake::New(id));
            fresh.push((id, key, build));
        }
        let mut numbers = number(tx, fresh.iter().map(|(_, _, build)| &build.seen)).await?;
        let mut rows = Rows::default();
        for (id, key, build) in fresh {
            let number = numbers.entry(build.seen.repository.name.clone()).or_default();
            rows.add(tx, id, key, *number, build)?;
            *number += 1;
        }
        put_builds(tx, &rows.builds).await?;
        put_jobs(tx, &rows.jobs).await?;
        put_needs(tx, &rows.needs).await?;
        moves::enter_outbox(tx, &rows.outbox).await?;
        Ok(answers)
    }
}

async fn find(tx: &mut Tx, keys: &[String]) -> Result<HashMap<String, BuildId>, LedgerError> {
    let mut known = HashMap::new();
    for list in lists(keys) {
        let mut query = QueryBuilder::<Db>::new("SELECT intake_key, id FROM builds WHERE intake_key IN ");
        push_list(&mut query, list);
        for (key, id) in query.build_query_as::<(String, String)>().fetch_all(&mut tx.conn).await? {
            known.insert(key, parse(&id)?);
        }
    }
    Ok(known)
}

/// The first number of the new builds of each repository.
async fn number(
    tx: &mut Tx,
    commits: impl Iterator<Item = &CommitSeen>,
) -> Result<BTreeMap<RepositoryName, i64>, LedgerError> {
    let mut counts: BTreeMap<RepositoryName, (String, i64)> = BTreeMap::new();
    for seen in commits {
        let (url, count) = counts.entry(seen.repository.name.clone()).or_default();
        url.clone_from(&seen.repository.url);
        *count += 1;
    }
    let counts: Vec<_> = counts.into_iter().collect();
    let mut first = BTreeMap::new();
    for piece in pieces(&counts) {
        let mut query = QueryBuilder::<Db>::new("INSERT INTO repositories (name, url, builds) ");
        query.push_values(piece, |mut row, (name, (url, count))| {
            row.push_bind(name.as_str().to_owned()).push_bind(url.clone()).push_bind(*count);
        });
        query.push(
            " ON CONFLICT (name) DO UPDATE SET url = excluded.url, \
             builds = repositories.builds + excluded.builds RETURNING name, builds",
        );
        for (name, last) in query.build_query_as::<(String, i64)>().fetch_all(&mut tx.conn).await? {
            let new = piece.iter().find(|(other, _)| other.as_str() == name).map_or(0, |(_, (_, count))| *count);
            first.insert(parse(&name)?, last - new + 1);
        }
    }
    Ok(first)
}

#[derive(Default)]
struct Rows {
    builds: Vec<BuildRow>,
    jobs: Vec<JobRow>,
    needs: Vec<(String, String)>,
    outbox: Vec<(String, String, i64)>,
}

impl Rows {
    fn add(&mut self, tx: &mut Tx, id: BuildId, key: String, number: i64, build: &NewBuild) -> Result<(), LedgerError> {
        tx.touched.subject(&ChangeSubject::Build(id));
        let order = tx.next_order();
        let plan = build.plan.as_ref().map_err(Clone::clone).and_then(|jobs| check_needs(jobs).map(|()| jobs));
        let outcome = match plan {
            Err(reason) => {
                BuildOutcome { state: crate::State::Done, verdict: Some(Verdict::Errored), reason: Some(reason) }
            }
            Ok(jobs) => outcome_of(&self.add_jobs(tx, id, jobs)?),
        };
        let seen = &build.seen;
        self.builds.push(BuildRow {
            id: id.to_string(),
            order,
            key,
            number,
            parents: to_json(&seen.parents)?,
            skipped_before: to_count(seen.skipped_before),
            state: state_word(outcome.state),
            verdict: outcome.verdict.map(Verdict::as_str),
            reason: outcome.reason,
            finished_at: outcome.verdict.map(|_| tx.now),
            seen: seen.clone(),
        });
        Ok(())
    }

    fn add_jobs(&mut self, tx: &mut Tx, build: BuildId, jobs: &[NewJob]) -> Result<Vec<JobInBuild>, LedgerError> {
        let ids: Vec<JobId> = jobs.iter().map(|_| JobId(chance::ordered_id())).collect();
        let mut in_build = Vec::new();
        for (position, (job, id)) in jobs.iter().zip(&ids).enumerate() {
            let state = match first_event(jobs, job) {
                Some(event) => lifecycle::next(&JobState::FIRST, &event).map_err(rows::odd)?,
                None => JobState::FIRST,
            };
            let order = tx.next_order();
            tx.touched.subject(&ChangeSubject::Job(*id));
            tx.touched.count(&job.pool, None, state);
            if state == JobState::Queued {
                self.outbox.push((id.to_string(), job.pool.to_string(), order));
            }
            self.needs.extend(job.needs.iter().map(|needed| (id.to_string(), ids[*needed].to_string())));
            self.jobs.push(JobRow {
                id: id.to_string(),
                build: build.to_string(),
                order,
                position: to_count(position as u64),
                name: job.name.clone(),
                pool: job.pool.to_string(),
                state: state_word(shown(state)),
                filtered: job.filtered.clone(),
                dependants: jobs.iter().any(|other| other.needs.contains(&position)),
                policy: to_json(&job.policy)?,
                spec: to_json(&job.spec)?,
                exclusive: job.spec.exclusive,
                retry_of: None,
                queued_at: (state == JobState::Queued).then_some(tx.now),
            });
            let verdict = match state {
                JobState::Done(verdict) => Some(verdict),
                _ => None,
            };
            in_build.push(JobInBuild {
                state: shown(state),
                verdict,
                reason: None,
                has_started: false,
                allow_failure: false,
            });
        }
        Ok(in_build)
    }
}

/// What happens to a job at birth. A need that is left out itself holds nobody up.
fn first_event(jobs: &[NewJob], job: &NewJob) -> Option<JobEvent> {
    if job.filtered.is_some() {
        return Some(JobEvent::Filtered);
    }
    job.needs.iter().all(|needed| jobs[*needed].filtered.is_some()).then_some(JobEvent::NeedsMet)
}

/// A job that needs what does not exist, or itself by a detour, would wait for ever.
fn check_needs(jobs: &[NewJob]) -> Result<(), ErroredReason> {
    let wrong = |detail: String| Err(ErroredReason { kind: ErroredKind::Pipeline, detail });
    if let Some(job) = jobs.iter().find(|job| job.needs.iter().any(|needed| *needed >= jobs.len())) {
        return wrong(format!("job {:?} needs a job that is not in the plan", job.name));
    }
    let mut open: Vec<usize> = (0..jobs.len()).collect();
    loop {
        let stuck: Vec<usize> =
            open.iter().copied().filter(|job| jobs[*job].needs.iter().any(|needed| open.contains(needed))).collect();
        match stuck.first() {
            None => return Ok(()),
            Some(first) if stuck.len() == open.len() => {
                return wrong(format!("job {:?} needs itself, by way of other jobs", jobs[*first].name));
            }
            Some(_) => open = stuck,
        }
    }
}
