-- Dead letters can be replayed and discarded. head is the envelope without its body, as JSON; NULL: it cannot be replayed.
-- state is parked, replaying, replayed or discarded. The same message that dies again while it is parked is counted in deaths.
ALTER TABLE dead_letters ADD COLUMN exchange TEXT;
ALTER TABLE dead_letters ADD COLUMN head TEXT;
ALTER TABLE dead_letters ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN deaths BIGINT NOT NULL DEFAULT 1;
ALTER TABLE dead_letters ADD COLUMN fingerprint TEXT;
ALTER TABLE dead_letters ADD COLUMN state TEXT NOT NULL DEFAULT 'parked';
ALTER TABLE dead_letters ADD COLUMN note TEXT;
ALTER TABLE dead_letters ADD COLUMN last_at BIGINT;
UPDATE dead_letters SET bytes = length(body);
CREATE INDEX dead_letters_by_state ON dead_letters (state, number);
CREATE INDEX dead_letters_by_fingerprint ON dead_letters (fingerprint, number);

-- One row, so that nobody counts: numbers are never given twice, and what the limits took away is told.
CREATE TABLE dead_letter_totals (
    id          SMALLINT PRIMARY KEY CHECK (id = 1),
    last_number BIGINT NOT NULL,
    kept        BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    dropped     BIGINT NOT NULL
);
INSERT INTO dead_letter_totals (id, last_number, kept, bytes, dropped)
    SELECT 1, coalesce(max(number), 0), count(*), coalesce(sum(length(body)), 0), 0 FROM dead_letters;
