-- The ledger. Portable on purpose: SQLite and PostgreSQL read the same text.
-- Ids are UUIDs as text, times are microseconds since 1970, flags are 0 or 1, JSON is text.

-- One row: who leads, and the counters that every transaction may move on.
CREATE TABLE ledger_state (
    id            SMALLINT PRIMARY KEY CHECK (id = 1),
    epoch         BIGINT NOT NULL,
    holder        TEXT,
    change_number BIGINT NOT NULL,
    order_number  BIGINT NOT NULL
);
INSERT INTO ledger_state (id, epoch, holder, change_number, order_number) VALUES (1, 0, NULL, 0, 0);

CREATE TABLE repositories (
    name   TEXT PRIMARY KEY,
    url    TEXT NOT NULL,
    builds BIGINT NOT NULL
);

-- intake_key is the same for every announcement of a commit on a ref: it makes the intake idempotent.
-- order_number is the place in the list, because ids must not be trusted to follow the clock.
CREATE TABLE builds (
    id             TEXT PRIMARY KEY,
    order_number   BIGINT NOT NULL UNIQUE,
    intake_key     TEXT NOT NULL UNIQUE,
    repository     TEXT NOT NULL REFERENCES repositories (name),
    number         BIGINT NOT NULL,
    url            TEXT NOT NULL,
    ref_name       TEXT NOT NULL,
    commit_id      TEXT NOT NULL,
    tree_id        TEXT NOT NULL,
    parents        TEXT NOT NULL,
    subject        TEXT NOT NULL,
    author_name    TEXT NOT NULL,
    author_email   TEXT NOT NULL,
    committed_at   BIGINT NOT NULL,
    skipped_before BIGINT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('waiting', 'queued', 'running', 'done')),
    verdict        TEXT,
    reason_kind    TEXT,
    reason_detail  TEXT,
    created_at     BIGINT NOT NULL,
    started_at     BIGINT,
    finished_at    BIGINT,
    UNIQUE (repository, number),
    CHECK ((state = 'done') = (verdict IS NOT NULL))
);
CREATE INDEX builds_by_commit ON builds (commit_id);
CREATE INDEX builds_by_repository ON builds (repository, order_number);
CREATE INDEX builds_by_ref ON builds (ref_name, order_number);
CREATE INDEX builds_by_repository_and_ref ON builds (repository, ref_name, order_number);

-- attempt is the number of the current or last attempt, 0 before the first.
-- lost, errored and rounds count towards the caps; blocked marks a job that was skipped because a job
-- it needs did not end well; superseded marks one that a retry has replaced.
CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    build         TEXT NOT NULL REFERENCES builds (id),
    order_number  BIGINT NOT NULL,
    position      BIGINT NOT NULL,
    name          TEXT NOT NULL,
    pool          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('waiting', 'queued', 'running', 'done')),
    cancelling    SMALLINT NOT NULL,
    verdict       TEXT,
    reason_kind   TEXT,
    reason_detail TEXT,
    blocked       SMALLINT NOT NULL,
    superseded    SMALLINT NOT NULL,
    dependants    SMALLINT NOT NULL,
    spec          TEXT NOT NULL,
    attempt       BIGINT NOT NULL,
    lost          BIGINT NOT NULL,
    errored       BIGINT NOT NULL,
    rounds        BIGINT NOT NULL,
    retry_of      TEXT REFERENCES jobs (id),
    created_at    BIGINT NOT NULL,
    queued_at     BIGINT,
    finished_at   BIGINT,
    CHECK ((state = 'done') = (verdict IS NOT NULL))
);
CREATE INDEX jobs_by_build ON jobs (build);

CREATE TABLE needs (
    job    TEXT NOT NULL REFERENCES jobs (id),
    needed TEXT NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (job, needed)
);
CREATE INDEX needs_by_needed ON needs (needed);

-- A row for each queued job and for no other: it never grows with history.
CREATE TABLE outbox (
    job          TEXT PRIMARY KEY REFERENCES jobs (id),
    pool         TEXT NOT NULL,
    order_number BIGINT NOT NULL,
    queued_at    BIGINT NOT NULL,
    published_at BIGINT,
    publications BIGINT NOT NULL
);
CREATE INDEX outbox_unpublished ON outbox (pool, order_number) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_by_age ON outbox (pool, queued_at);

CREATE TABLE attempts (
    job         TEXT NOT NULL REFERENCES jobs (id),
    number      BIGINT NOT NULL,
    token       TEXT NOT NULL,
    runner      TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'finished', 'lost', 'handed_back')),
    detail      TEXT NOT NULL,
    steps       TEXT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,
    log_length  BIGINT,
    log_sha256  TEXT,
    PRIMARY KEY (job, number)
);
CREATE INDEX attempts_running ON attempts (runner) WHERE state = 'running';

-- Reports that came too late or without the token: history, never a verdict.
CREATE TABLE stale_reports (
    job       TEXT NOT NULL REFERENCES jobs (id),
    attempt   BIGINT NOT NULL,
    runner    TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    count     BIGINT NOT NULL,
    first_at  BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    PRIMARY KEY (job, attempt, runner)
);

-- How many jobs of each pool wait, are queued and run: kept by every transaction, so nobody counts.
CREATE TABLE pools (
    name    TEXT PRIMARY KEY,
    waiting BIGINT NOT NULL,
    queued  BIGINT NOT NULL,
    running BIGINT NOT NULL
);

CREATE TABLE runners (
    name        TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    pool        TEXT NOT NULL,
    slots       BIGINT NOT NULL,
    draining    SMALLINT NOT NULL,
    version     TEXT NOT NULL,
    gone        SMALLINT NOT NULL,
    last_seen   BIGINT NOT NULL
);

CREATE TABLE changes (
    number BIGINT PRIMARY KEY,
    kind   TEXT NOT NULL,
    id     TEXT NOT NULL
);

CREATE TABLE dead_letters (
    number      BIGINT PRIMARY KEY,
    queue       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    key         TEXT NOT NULL,
    body        BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL
);

-- What people asked for.
CREATE TABLE orders (
    id     TEXT PRIMARY KEY,
    at     BIGINT NOT NULL,
    who    TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL
);
