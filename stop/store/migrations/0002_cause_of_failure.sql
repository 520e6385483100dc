-- What the host did that explains why an improver run returned no program; "" where nothing does.
ALTER TABLE improver_runs ADD COLUMN cause TEXT NOT NULL DEFAULT '';
