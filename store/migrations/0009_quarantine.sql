-- Why a runner's own machine may have no jobs for now.
ALTER TABLE runners ADD COLUMN trouble TEXT;
