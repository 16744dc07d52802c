-- Which life of a runner was heard last, in an order: see `Birth` in the messages.
ALTER TABLE runners ADD COLUMN folder TEXT;
ALTER TABLE runners ADD COLUMN life_number BIGINT;
