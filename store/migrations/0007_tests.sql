-- What the tests of jobs said, and the history of each test. Bounded: see writes/tests.rs.

-- One row per attempt that had test results; number is from the ledger's order_number.
CREATE TABLE test_reports (
    number      BIGINT PRIMARY KEY,
    job         TEXT NOT NULL REFERENCES jobs (id),
    attempt     BIGINT NOT NULL,
    build       TEXT NOT NULL REFERENCES builds (id),
    repository  TEXT NOT NULL,
    job_name    TEXT NOT NULL,
    tree_id     TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    passed      BIGINT NOT NULL,
    failed      BIGINT NOT NULL,
    errored     BIGINT NOT NULL,
    skipped     BIGINT NOT NULL,
    flaky       BIGINT NOT NULL,
    cut         BIGINT NOT NULL,
    notes       TEXT NOT NULL,
    UNIQUE (job, attempt)
);
CREATE INDEX test_reports_by_build ON test_reports (build);
CREATE INDEX test_reports_by_repository ON test_reports (repository, number);
-- With number, so that the order costs no walk over the repository.
CREATE INDEX test_reports_by_tree ON test_reports (repository, tree_id, job_name, number);

-- The cases as JSON: those that are red or flaky, and the others. NULL when they were let go.
CREATE TABLE test_pieces (
    report BIGINT NOT NULL REFERENCES test_reports (number),
    piece  BIGINT NOT NULL,
    red    TEXT,
    other  TEXT,
    PRIMARY KEY (report, piece)
);

-- One row per test, by repository, job, suite, class and name, from which its id is made. recent holds its last
-- runs, newest first: report, outcome and milliseconds of each.
CREATE TABLE tests (
    id            TEXT PRIMARY KEY,
    repository    TEXT NOT NULL,
    job_name      TEXT NOT NULL,
    suite         TEXT NOT NULL,
    class         TEXT NOT NULL,
    name          TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    last_report   BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    failing_since BIGINT,
    flaky_at      BIGINT,
    slow_ms       BIGINT NOT NULL,
    recent        TEXT NOT NULL
);
CREATE INDEX tests_by_name ON tests (repository, name);
CREATE INDEX tests_failing ON tests (repository, failing_since) WHERE failing_since IS NOT NULL;
CREATE INDEX tests_flaky ON tests (repository, flaky_at) WHERE flaky_at IS NOT NULL;
CREATE INDEX tests_slow ON tests (repository, slow_ms) WHERE slow_ms >= 1000;
-- The same over all repositories.
CREATE INDEX tests_failing_anywhere ON tests (failing_since) WHERE failing_since IS NOT NULL;
CREATE INDEX tests_flaky_anywhere ON tests (flaky_at) WHERE flaky_at IS NOT NULL;
CREATE INDEX tests_slow_anywhere ON tests (slow_ms) WHERE slow_ms >= 1000;
