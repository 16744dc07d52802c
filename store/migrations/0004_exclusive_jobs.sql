-- Jobs whose attempts must never overlap: the dispatcher must know it of an attempt that runs.
ALTER TABLE jobs ADD COLUMN exclusive SMALLINT NOT NULL DEFAULT 0;
