-- Why a condition of the pipeline left a job out of its build; null for every other job.
ALTER TABLE jobs ADD COLUMN filtered TEXT;
