-- What the pipeline says about the ends of a job (JSON; whatever is missing is the default), and how many
-- attempts ended so that it asked for another one.
ALTER TABLE jobs ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN timed_out BIGINT NOT NULL DEFAULT 0;
