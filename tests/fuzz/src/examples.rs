//! Right inputs: one of each message, as the roles send it, and texts as people write them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use messages::{
    Arrival, AttemptNumber, AttemptOrder, AttemptToken, Author, Beat, BeatAnswer, Birth, CancelAttempt, ChangedPaths,
    Claim, ClaimAnswer, CommitId, CommitSeen, DropReason, ErroredKind, ErroredReason, Finished, FinishedAttempt,
    HandBack, HeldJob, Incarnation, Job, JobId, JobSpec, LogChunk, MessageId, Order, Outcome, PipelineSource, PoolName,
    Probe, Recorded, RefName, RefusedCommit, ReportSources, RepositorySource, RunnerName, RunningAttempt, Step,
    StepEnd, StepResult, TestCase, TestCounts, TestOutcome, TestResults, TestSummary, Tick, Work,
};
use serde::Serialize;
use uuid::Uuid;

/// Pipeline files that use every key.
pub(crate) const PIPELINES: &[&str] = &[
    "[[job]]\nname = \"test\"\nsteps = [\"cargo test\"]\n",
    "[[job]]\nname = \"build\"\nsteps = [\"make\", \"make check\"]\nenv = { CI = \"1\" }\ndir = \"sub/dir\"\n\
     timeout = \"90s\"\npool = \"linux\"\n\n[[job]]\nname = \"deploy\"\nneeds = [\"build\"]\nsteps = [\"./deploy\"]\n",
    "env = { A = \"b\" }\ntimeout = \"1h 30m\"\n\n[[job]]\nname = \"a\"\nsteps = '''\necho one\necho two\n'''\n",
    "[[job]]\nname = \"test\"\nsteps = [\"cargo test\"]\n[job.matrix]\nos = [\"linux\", \"mac\"]\nrust = [\"1.94\", \"beta\"]\n",
    "[[job]]\nname = \"deploy\"\nexclusive = true\nsteps = [\"./deploy\"]\n\
     when = { branch = [\"main\", \"release/*\", \"!release/{old,[a-z]?}\"], tag = [\"v*\"] }\n\n[[job]]\nname = \"docs\"\n\
     when = { path = [\"docs/**\", \"*.md\"], event = [\"push\", \"initial\"] }\nsteps = [\"make\"]\n",
];

pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn job_id() -> JobId {
    JobId(Uuid::from_u128(0x0192_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001))
}

fn incarnation() -> Incarnation {
    Incarnation(Uuid::from_u128(0x0192_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0002))
}

fn birth() -> Birth {
    Birth { folder: incarnation().0, number: 4 }
}

fn token() -> AttemptToken {
    AttemptToken::from_random([7; 16])
}

/// Texts of this module are known to be right.
fn right<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(_) => unreachable!("{text:?} is a right one"),
    }
}

fn commit(digit: &str) -> CommitId {
    right(&digit.repeat(40))
}

fn repository() -> RepositorySource {
    RepositorySource { name: right("thump.rs"), url: "https://host.example/thump.rs.git".to_owned() }
}

pub(crate) fn commits_seen() -> Vec<CommitSeen> {
    let pipelines = [
        PipelineSource::File { text: PIPELINES[0].to_owned() },
        PipelineSource::Missing,
        PipelineSource::TooLarge { bytes: 1 << 40 },
        PipelineSource::Unreadable { why: "a symbolic link".to_owned() },
    ];
    let seen = |pipeline| CommitSeen {
        observer: right("eye"),
        incarnation: incarnation(),
        repository: repository(),
        ref_name: right("refs/heads/--x<b>$(id)"),
        commit: commit("a"),
        tree: right(&"b".repeat(64)),
        parents: vec![commit("c"), commit("d")],
        author: Author { name: "Ada \u{202e} Ü".to_owned(), email: "ada@host.example".to_owned() },
        subject: "A subject\twith \"quotes\"".to_owned(),
        committed_at: Timestamp::UNIX_EPOCH,
        changed_paths: ChangedPaths {
            paths: vec!["src/main.rs".to_owned(), "ü/\u{1b}".to_owned()],
            truncated: pipeline != PipelineSource::Missing,
        },
        arrival: Arrival::MovedBack,
        skipped_before: if pipeline == PipelineSource::Missing { 0 } else { 7 },
        pipeline,
    };
    pipelines.into_iter().map(seen).collect()
}

pub(crate) fn recorded() -> Vec<Recorded> {
    let id = MessageId::of(&["a"]);
    vec![Recorded { commits: vec![id, MessageId::of(&["b"])], refused: vec![RefusedCommit { id, why: "no".into() }] }]
}

pub(crate) fn jobs() -> Vec<Job> {
    let step = Step { run: "cargo test -- --nocapture \"$X\"".to_owned() };
    let work = [Work::Steps { steps: vec![step.clone(), step] }, Work::Recognise];
    let job = |work| Job {
        id: job_id(),
        build: right("0192aaaa-bbbb-7ccc-8ddd-eeeeffff0003"),
        build_number: 12,
        repository: repository(),
        ref_name: right::<RefName>("refs/tags/v1"),
        commit: commit("e"),
        name: "test (linux, 1.94)".to_owned(),
        pool: PoolName::default(),
        spec: JobSpec {
            silence_seconds: Some(60),
            shell: vec!["bash".into(), "-e".into()],
            finally: vec![Step { run: "true".into() }],
            finally_timeout_seconds: 60,
            work,
            env: BTreeMap::from([("A".to_owned(), "b c".to_owned())]),
            dir: Some("sub".to_owned()),
            timeout_seconds: 3600,
            exclusive: true,
            reports: ReportSources { files: vec!["out/**/*.xml".to_owned()], log: true },
        },
    };
    work.into_iter().map(job).collect()
}

fn runner() -> RunnerName {
    right("north-1-00ff")
}

pub(crate) fn claims() -> Vec<Claim> {
    let pool = PoolName::default();
    vec![Claim { runner: runner(), incarnation: incarnation(), birth: birth(), pool, job: job_id(), redelivered: true }]
}

pub(crate) fn claim_answers() -> Vec<ClaimAnswer> {
    vec![
        ClaimAnswer::Run { attempt: AttemptNumber(3), token: token() },
        ClaimAnswer::Drop { reason: DropReason::HeldElsewhere },
    ]
}

pub(crate) fn beats() -> Vec<Beat> {
    let (job, attempt) = (job_id(), AttemptNumber(2));
    vec![Beat {
        runner: runner(),
        incarnation: incarnation(),
        birth: birth(),
        sequence: 9,
        pool: PoolName::default(),
        slots: 4,
        draining: false,
        trouble: Some("write to the disk".to_owned()),
        version: "0.1.0".to_owned(),
        held: vec![HeldJob { job }],
        running: vec![RunningAttempt { job, attempt, token: token(), log_sent: 10 }],
        finished: vec![FinishedAttempt { job, attempt, token: token(), log_sent: 99 }],
    }]
}

pub(crate) fn beat_answers() -> Vec<BeatAnswer> {
    let orders = [Order::Continue, Order::Cancel, Order::Void, Order::Recorded];
    let order = |order| AttemptOrder { job: job_id(), attempt: AttemptNumber::FIRST, order, log_from: Some(5) };
    let orders = orders.into_iter().map(order).collect();
    vec![BeatAnswer { incarnation: incarnation(), sequence: 3, orders, drain: true }]
}

pub(crate) fn results() -> Vec<Finished> {
    let reason = ErroredReason { kind: ErroredKind::Checkout, detail: "disk full\nreally".to_owned() };
    let outcomes = [
        Outcome::Passed,
        Outcome::TimedOut { silence_seconds: Some(60) },
        Outcome::Errored { reason, worth_retrying: true },
    ];
    let ends = [StepEnd::Exited { code: -1 }, StepEnd::Signalled { signal: 9 }, StepEnd::Stopped];
    let steps: Vec<_> =
        ends.into_iter().map(|end| StepResult { run: "make".to_owned(), end, duration_ms: 1500 }).collect();
    let finished = |outcome| Finished {
        runner: runner(),
        incarnation: incarnation(),
        job: job_id(),
        attempt: AttemptNumber(1),
        token: token(),
        outcome,
        steps: steps.clone(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        log_length: 1234,
        log_sha256: "0".repeat(64),
        test_pieces: 2,
    };
    outcomes.into_iter().map(finished).collect()
}

pub(crate) fn hand_backs() -> Vec<HandBack> {
    vec![HandBack { runner: runner(), job: job_id(), attempt: AttemptNumber(1), token: token() }]
}

pub(crate) fn test_results() -> Vec<TestResults> {
    let case = TestCase {
        suite: "unit".to_owned(),
        class: "a::b".to_owned(),
        name: "it works <really>".to_owned(),
        outcome: TestOutcome::Failed,
        duration_ms: Some(12),
        message: Some("left: 1\nright: 2".to_owned()),
        file: Some("src/lib.rs".to_owned()),
        line: Some(7),
    };
    let counts = TestCounts { failed: 1, ..TestCounts::default() };
    vec![TestResults {
        job: job_id(),
        attempt: AttemptNumber(1),
        token: token(),
        piece: 0,
        pieces: 1,
        summary: TestSummary { counts, cut: 3, notes: vec!["a note".to_owned()] },
        cases: vec![case.clone(), case],
    }]
}

pub(crate) fn cancels() -> Vec<CancelAttempt> {
    vec![CancelAttempt { job: job_id(), attempt: AttemptNumber(1) }]
}

pub(crate) fn probes() -> Vec<Probe> {
    vec![Probe {}]
}

pub(crate) fn ticks() -> Vec<Tick> {
    vec![Tick { incarnation: incarnation(), number: 77 }]
}

pub(crate) fn log_chunks() -> Vec<Vec<u8>> {
    let chunk = LogChunk {
        job: job_id(),
        attempt: AttemptNumber(1),
        token: token(),
        offset: 1 << 20,
        bytes: b"running 3 tests\n\x1b[32mok\x1b[0m\r\n\xff\0".to_vec(),
    };
    chunk.into_envelope().map(|envelope| envelope.body).into_iter().collect()
}
