-- The parking lot: jobs that ended errored, until somebody runs them again (superseded) or discards them.
ALTER TABLE jobs ADD COLUMN discarded SMALLINT NOT NULL DEFAULT 0;
CREATE INDEX jobs_parked ON jobs (finished_at, id) WHERE verdict = 'errored' AND superseded = 0 AND discarded = 0;

-- What an attempt that brought no verdict counted towards: runner_lost, infrastructure or errored. NULL: nothing,
-- or a version before this one recorded it.
ALTER TABLE attempts ADD COLUMN cause TEXT;

CREATE INDEX orders_by_target ON orders (target);
