//! The judge bites: each kind of broken promise is told from the same run with everything in order.

use super::*;
use crate::recorded::{Attempt, Reason};

/// A run in which all went well, although a runner was lost.
struct Run {
    pushed: Vec<Pushed>,
    text: String,
    builds: Vec<Build>,
    seen: BTreeMap<String, BTreeSet<String>>,
}

fn attempt(number: u32, state: &str) -> Attempt {
    Attempt { number, runner: "north".into(), state: state.into() }
}

fn job(id: &str, name: &str, verdict: &str, attempts: &[Attempt]) -> Job {
    Job {
        id: id.into(),
        name: name.into(),
        state: "done".into(),
        verdict: Some(verdict.into()),
        attempt: attempts.last().map(|attempt| attempt.number),
        attempts: attempts.to_vec(),
        ..Job::default()
    }
}

impl Run {
    fn good() -> Self {
        let expected = |name: &str, verdict, needs: Option<&str>, exclusive| Expected {
            name: name.into(),
            verdict,
            needs: needs.map(str::to_owned),
            exclusive,
        };
        let jobs = vec![
            expected("work", "passed", None, false),
            expected("red", "failed", None, false),
            expected("deploy", "passed", Some("work"), true),
        ];
        let build = Build {
            id: "b".into(),
            repository: "app".into(),
            ref_name: "refs/heads/main".into(),
            commit: "c0ffee".into(),
            state: "done".into(),
            jobs: vec![
                job("j1", "work", "passed", &[attempt(1, "lost"), attempt(2, "finished")]),
                job("j2", "red", "failed", &[attempt(1, "finished")]),
                job("j3", "deploy", "passed", &[attempt(1, "lost"), attempt(2, "finished")]),
            ],
        };
        let text = "start j1 1 10 1.00\nstart j2 1 11 1.10\nend j2 1 11 1.20\noverlap j1 2 12 2.00\nstart j1 2 12 2.00\n\
                    end j1 1 10 2.10\nend j1 2 12 2.50\nstart j3 1 13 3.00\nstart j3 2 14 20.00\nend j3 2 14 21.00\n";
        let pushed = Pushed { ref_name: build.ref_name.clone(), commit: build.commit.clone(), jobs };
        Self { pushed: vec![pushed], text: text.into(), builds: vec![build], seen: BTreeMap::new() }
    }

    fn job(&mut self, index: usize) -> &mut Job {
        &mut self.builds[0].jobs[index]
    }

    fn check(&self) -> Findings {
        let truth = Truth::read(&self.text);
        check(Evidence { pushed: &self.pushed, truth: &truth, builds: &self.builds, seen: &self.seen })
    }

    fn broken(&self) -> Vec<Kind> {
        self.check().broken.iter().map(|finding| finding.kind).collect()
    }
}

#[test]
fn a_run_in_which_all_went_well_has_no_finding_and_is_counted() {
    let findings = Run::good().check();
    assert!(findings.kept(), "{findings}");
    assert_eq!((findings.jobs, findings.attempts, findings.overlaps, findings.errored), (3, 5, 1, 0));
}

#[test]
fn a_commit_without_a_build_is_lost() {
    let mut run = Run::good();
    run.pushed[0].commit = "decade".into();
    assert!(run.broken().contains(&Kind::Lost));
}

#[test]
fn a_build_of_the_same_commit_on_another_ref_is_no_excuse() {
    let mut run = Run::good();
    run.builds[0].ref_name = "refs/heads/other".into();
    assert!(run.broken().contains(&Kind::Lost));
}

#[test]
fn a_job_that_is_not_there_is_lost() {
    let mut run = Run::good();
    run.builds[0].jobs.remove(1);
    // The pipeline has it, and it even ran.
    assert_eq!(run.broken(), [Kind::Lost, Kind::Lost]);
}

#[test]
fn two_builds_of_a_commit_are_one_too_many() {
    let mut run = Run::good();
    run.builds.push(run.builds[0].clone());
    assert_eq!(run.broken(), [Kind::Twice]);
}

#[test]
fn a_job_that_is_there_twice_is_recorded_twice_unless_somebody_asked_for_it() {
    let mut run = Run::good();
    let again = job("j9", "red", "failed", &[]);
    run.builds[0].jobs.push(Job { retry_of: Some("j2".into()), ..again.clone() });
    assert_eq!(run.broken(), []);
    run.builds[0].jobs.push(again);
    assert_eq!(run.broken(), [Kind::Twice]);
}

#[test]
fn two_finished_attempts_are_two_recordings() {
    let mut run = Run::good();
    run.job(0).attempts[0].state = "finished".into();
    assert_eq!(run.broken(), [Kind::Twice]);
}

#[test]
fn a_verdict_that_changed_is_recorded_twice() {
    let mut run = Run::good();
    run.seen.insert("j1".into(), ["passed".to_owned()].into());
    assert_eq!(run.broken(), []);
    run.seen.insert("j2".into(), ["passed".to_owned(), "failed".to_owned()].into());
    assert_eq!(run.broken(), [Kind::Twice]);
}

#[test]
fn one_attempt_that_started_twice_is_found() {
    let mut run = Run::good();
    run.text.push_str("start j2 1 99 5.00\n");
    assert_eq!(run.broken(), [Kind::Twice]);
}

#[test]
fn a_verdict_of_an_attempt_that_never_ran_is_found() {
    let mut run = Run::good();
    run.text = run.text.replace("end j2 1 11 1.20\n", "").replace("start j2 1 11 1.10\n", "");
    assert_eq!(run.broken(), [Kind::NotRun]);
}

#[test]
fn the_end_of_a_lost_attempt_does_not_stand_for_the_recorded_one() {
    let mut run = Run::good();
    run.text = run.text.replace("end j1 2 12 2.50\n", "");
    assert_eq!(run.broken(), [Kind::NotRun]);
}

#[test]
fn a_green_that_should_be_red_and_a_red_that_should_be_green_are_wrong() {
    let mut run = Run::good();
    run.job(1).verdict = Some("passed".into());
    assert_eq!(run.broken(), [Kind::Wrong]);
    let mut run = Run::good();
    run.job(2).verdict = Some("failed".into());
    assert_eq!(run.broken(), [Kind::Wrong]);
}

#[test]
fn errored_is_borne_only_for_a_reason_that_faults_explain() {
    let mut run = Run::good();
    run.job(1).verdict = Some("errored".into());
    run.job(1).reason = Some(Reason { kind: "runner_lost".into(), detail: String::new() });
    assert_eq!(run.broken(), []);
    assert_eq!(run.check().errored, 1);
    run.job(1).reason = Some(Reason { kind: "checkout".into(), detail: String::new() });
    assert_eq!(run.broken(), [Kind::Wrong]);
}

#[test]
fn a_job_is_skipped_exactly_if_what_it_needs_did_not_pass() {
    let mut run = Run::good();
    run.job(2).verdict = Some("skipped".into());
    assert_eq!(run.broken(), [Kind::Wrong]);
    run.job(0).verdict = Some("errored".into());
    run.job(0).reason = Some(Reason { kind: "runner_lost".into(), detail: String::new() });
    assert_eq!(run.broken(), []);
}

#[test]
fn attempts_of_an_exclusive_job_never_overlap() {
    let mut run = Run::good();
    run.text.push_str("overlap j3 2 14 20.00\n");
    assert_eq!(run.broken(), [Kind::Overlapping]);
    let mut run = Run::good();
    run.text.push_str("end j3 1 13 20.50\n");
    assert_eq!(run.broken(), [Kind::Overlapping]);
}

#[test]
fn a_job_without_a_verdict_is_stuck() {
    let mut run = Run::good();
    run.job(0).verdict = None;
    run.builds[0].state = "running".into();
    assert_eq!(run.broken(), [Kind::Stuck, Kind::Stuck]);
}

#[test]
fn an_attempt_that_nobody_recorded_is_found() {
    let mut run = Run::good();
    run.text.push_str("start j2 2 15 9.00\n");
    assert_eq!(run.broken(), [Kind::Unclaimed]);
}

#[test]
fn the_answers_of_the_api_can_be_read() {
    let text = r#"{"id": "b", "number": 3, "repository": "app", "url": "x", "ref": "refs/heads/main", "commit": "c0ffee",
        "state": "done", "verdict": "errored", "jobs": [{"id": "j", "build": "b", "name": "test", "state": "done",
        "verdict": "errored", "reason": {"kind": "runner_lost", "detail": "3 times"}, "attempt": null, "retry_of": null}]}"#;
    let build: Build = serde_json::from_str(text).expect("a build");
    assert_eq!(build.jobs[0].reason.as_ref().expect("a reason").kind, "runner_lost");
}
