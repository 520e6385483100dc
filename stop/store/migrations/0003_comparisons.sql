-- Comparisons of improvers on fresh cells. What earlier versions called the difference of a round
-- was seen on the cells that had selected its candidate, and is kept as that.

ALTER TABLE rounds RENAME COLUMN difference TO selection_difference;
ALTER TABLE rounds RENAME COLUMN difference_low TO selection_difference_low;
ALTER TABLE rounds RENAME COLUMN difference_high TO selection_difference_high;
ALTER TABLE rounds ADD COLUMN selection REAL;       -- the candidate's meta-utility on those cells
ALTER TABLE rounds ADD COLUMN candidates INTEGER;   -- improvers that were scored in the round
ALTER TABLE rounds ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;  -- accepted on fresh cells

UPDATE rounds SET selection = meta_utility WHERE round > 0;
-- Intervals that reached past the range of scores; some other range is not known here.
UPDATE rounds SET low = MAX(low, 0.0), high = MIN(high, 1.0) WHERE meta_utility BETWEEN 0 AND 1;

CREATE TABLE comparisons (
    stage TEXT NOT NULL,                -- 'confirmation', 'final' or 'holdout'
    number INTEGER NOT NULL,            -- the round, or which final comparison
    new_id TEXT NOT NULL REFERENCES programs (id),
    old_id TEXT NOT NULL REFERENCES programs (id),
    tasks TEXT NOT NULL,                -- JSON list of names
    repetitions INTEGER NOT NULL,       -- of each task, of both improvers
    difference REAL,                    -- new minus old; NULL without any repetition
    low REAL, high REAL,                -- 95 % interval of difference
    p REAL, alpha REAL,                 -- of a confirmation, one-sided
    decision TEXT NOT NULL,             -- of a confirmation: 'confirmed' or 'not confirmed'
    new_mean REAL, new_low REAL, new_high REAL,  -- the new improver's meta-utility
    old_mean REAL, old_low REAL, old_high REAL,
    detail TEXT NOT NULL,               -- why there are fewer repetitions than wanted
    finished REAL NOT NULL,
    PRIMARY KEY (stage, number)
);
