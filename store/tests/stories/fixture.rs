//! A ledger in a temporary folder, and verbs to tell stories with.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use messages::{
    Arrival, AttemptNumber, AttemptToken, Author, BuildId, ChangedPaths, CommitSeen, DropReason, ErroredKind,
    ErroredReason, Finished, Incarnation, JobId, JobSpec, MessageId, Outcome, PipelineSource, PoolName,
    RepositorySource, RunnerName, Step, Work,
};
use store::{
    BuildView, ClaimDecision, ClaimRequest, Epoch, Intake, JobView, Ledger, NewBuild, NewJob, Policy, Recording,
    Requeue,
};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) epoch: Epoch,
    pub(crate) folder: TempDir,
}

/// What a runner holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) token: AttemptToken,
    pub(crate) runner: RunnerName,
    pub(crate) incarnation: Incarnation,
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = open_in(&folder).await;
        let epoch = ledger.lead("first").await.expect("the ledger works").expect("nobody else leads");
        Self { ledger, epoch, folder }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// One commit with these jobs: name and positions of needs.
    pub(crate) async fn push(&self, commit: u64, jobs: &[(&str, &[usize])]) -> BuildId {
        match self.record(vec![build(commit, jobs)]).await[0] {
            Intake::New(id) | Intake::Known(id) => id,
        }
    }

    pub(crate) async fn record(&self, builds: Vec<NewBuild>) -> Vec<Intake> {
        self.ledger.record_builds(self.epoch, builds).await.expect("the ledger works")
    }

    pub(crate) async fn build(&self, id: BuildId) -> BuildView {
        self.ledger.build(id).await.expect("the ledger works").expect("the build exists")
    }

    /// The newest job of this name.
    pub(crate) async fn job(&self, build: BuildId, name: &str) -> JobView {
        let jobs = self.build(build).await.jobs;
        jobs.into_iter().rfind(|job| job.name == name).expect("the job exists")
    }

    pub(crate) async fn ask(&self, job: JobId, runner: &str, life: u64) -> ClaimDecision {
        let claims = vec![question(job, runner, life)];
        self.ledger.claim(self.epoch, claims).await.expect("the ledger works").remove(0)
    }

    pub(crate) async fn claim(&self, job: JobId, runner: &str) -> Held {
        match self.ask(job, runner, 1).await {
            ClaimDecision::Run { attempt, token, .. } => {
                Held { job, attempt, token, runner: runner.parse().expect("a name"), incarnation: life_of(runner, 1) }
            }
            ClaimDecision::Drop(reason) => panic!("dropped: {reason:?}"),
        }
    }

    pub(crate) async fn refused(&self, job: JobId, runner: &str) -> DropReason {
        match self.ask(job, runner, 1).await {
            ClaimDecision::Drop(reason) => reason,
            ClaimDecision::Run { attempt, .. } => panic!("granted as attempt {attempt}"),
        }
    }

    pub(crate) async fn report(&self, held: &Held, outcome: Outcome) -> Recording {
        let reports = vec![report_of(held, outcome)];
        self.ledger.finish(self.epoch, reports).await.expect("the ledger works").remove(0)
    }

    pub(crate) async fn lose(&self, held: &Held, cause: store::LossCause) -> Requeue {
        self.ledger.lose(self.epoch, held.job, held.attempt, cause, "beats ended").await.expect("the ledger works")
    }

    pub(crate) async fn hand_back(&self, held: &Held) -> Requeue {
        let token = held.token.clone();
        self.ledger.hand_back(self.epoch, held.job, held.attempt, token).await.expect("the ledger works")
    }

    /// The jobs that are to be published.
    pub(crate) async fn to_publish(&self) -> Vec<JobId> {
        let jobs = self.ledger.unpublished(&PoolName::default(), 1000).await.expect("the ledger works");
        jobs.into_iter().map(|unpublished| unpublished.job.id).collect()
    }
}

pub(crate) async fn open_in(folder: &TempDir) -> Ledger {
    let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
    Ledger::open(&url, folder.path()).await.expect("the ledger opens")
}

/// The life of a runner, the same for the same number.
pub(crate) fn life_of(runner: &str, life: u64) -> Incarnation {
    Incarnation(MessageId::of(&[runner, &life.to_string()]).0)
}

pub(crate) fn fresh_token() -> AttemptToken {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    AttemptToken::from_random(number.to_be_bytes())
}

pub(crate) fn question(job: JobId, runner: &str, life: u64) -> ClaimRequest {
    let incarnation = life_of(runner, life);
    ClaimRequest { job, runner: runner.parse().expect("a name"), incarnation, token: fresh_token() }
}

pub(crate) fn report_of(held: &Held, outcome: Outcome) -> Finished {
    Finished {
        runner: held.runner.clone(),
        incarnation: held.incarnation,
        job: held.job,
        attempt: held.attempt,
        token: held.token.clone(),
        outcome,
        steps: Vec::new(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        log_length: 7,
        log_sha256: "0".repeat(64),
        test_pieces: 0,
    }
}

pub(crate) fn errored(worth_retrying: bool) -> Outcome {
    let reason = ErroredReason { kind: ErroredKind::Checkout, detail: "no space left".into() };
    Outcome::Errored { reason, worth_retrying }
}

pub(crate) fn seen(commit: u64) -> CommitSeen {
    let id = format!("{commit:040x}");
    CommitSeen {
        observer: "watch".parse().expect("a name"),
        incarnation: life_of("watch", 1),
        repository: RepositorySource { name: "sample".parse().expect("a name"), url: "/srv/sample.git".into() },
        ref_name: "refs/heads/main".parse().expect("a ref"),
        commit: id.parse().expect("a commit"),
        tree: id.parse().expect("a tree"),
        parents: Vec::new(),
        author: Author { name: "Ada <script>".into(), email: "ada@example.org".into() },
        subject: "It's \"quoted\"; DROP TABLE jobs".into(),
        committed_at: Timestamp::UNIX_EPOCH,
        changed_paths: ChangedPaths::default(),
        pipeline: PipelineSource::Missing,
        arrival: Arrival::Pushed,
        skipped_before: 0,
    }
}

pub(crate) fn build(commit: u64, jobs: &[(&str, &[usize])]) -> NewBuild {
    let jobs = jobs.iter().map(|(name, needs)| new_job(name, needs)).collect();
    NewBuild { seen: seen(commit), plan: Ok(jobs) }
}

pub(crate) fn new_job(name: &str, needs: &[usize]) -> NewJob {
    let work = Work::Steps { steps: vec![Step { run: "true".into() }] };
    let spec = JobSpec::new(work, 60);
    NewJob {
        name: name.to_owned(),
        pool: PoolName::default(),
        needs: needs.to_vec(),
        filtered: None,
        policy: Policy::default(),
        spec,
    }
}
