"""Which improver run made a program, as SQL: one rule for all who ask.

A program was made in the improver run in which it was first scored or returned; of a bypass
measurement, in the run whose prompt it answers. What the run began with (the tasks' programs, the
improver of round 0) was made by none, whoever came upon the same text later.

Only a run that was given an older text (`programs.rowid` counts up) can have made a program. So
parents are older than their children, and no walk through parents can go in a circle, whatever
somebody did to the file.
"""

from __future__ import annotations

SAMPLE_KEY = "sample/"
"""With a cell's name after it: the improver run whose prompt the samples of that cell answer."""

MAKER = f"""(
    SELECT r.key FROM improver_runs r JOIN programs i ON i.id = r.initial_id
    WHERE r.key IN (
        (SELECT improver_run FROM utility_calls WHERE program_id = p.id ORDER BY id LIMIT 1),
        (SELECT key FROM improver_runs WHERE result_id = p.id ORDER BY rowid LIMIT 1),
        (SELECT '{SAMPLE_KEY}' || cell FROM samples WHERE program_id = p.id ORDER BY rowid LIMIT 1)
    )
    AND i.rowid < p.rowid
    AND NOT EXISTS (SELECT 1 FROM improver_runs WHERE initial_id = p.id AND level = 'task')
    AND NOT EXISTS (SELECT 1 FROM rounds WHERE round = 0 AND improver_id = p.id)
    ORDER BY r.rowid LIMIT 1
)"""
"""The key of the improver run that made the program `p`, or NULL."""

FIRST_CALL = "(SELECT MIN(id) FROM utility_calls WHERE program_id = p.id)"
"""The utility call that gave the program `p` its first score, or NULL."""
