"""Samples of a bypass measurement: recorded one by one, counted by query."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from stop.store.makers import SAMPLE_KEY
from stop.store.queries import decoded
from stop.store.records import SampleRecord
from stop.store.writes import Store

RUN_KEY = "run/"
"""With a program's id after it: the improver run of a sampled program."""
MAX_RESPONSES = 128
"""Upper bound of the responses in one request (`stop.config.BypassConfig`)."""

_COLUMNS = ("cell", "number", "program_id", "status", "level", "paper_rule", "cut_off")


class Samples:
    """The samples in one run's store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, samples: Sequence[tuple[SampleRecord, str | None]]) -> None:
        """Records samples with their programs' texts, all or none; those already there stay."""
        rows = []
        for sample, source in samples:
            if source is not None:
                self._store.add_program(source, "improver")
            row = {name: getattr(sample, name) for name in _COLUMNS}
            rows.append(row | {"findings": json.dumps(sample.findings)})
        self._store.insert_many("samples", rows)

    def count(self, cell: str, first: int, n: int) -> int:
        """The number of samples of a cell that are recorded, of the `n` from `first` on."""
        (row,) = self._store.query(
            "SELECT COUNT(*) FROM samples WHERE cell = ? AND number >= ? AND number < ?",
            (cell, first, first + n),
        )
        return int(row[0])

    def counts(self) -> list[tuple[str, str, int, int, int, int]]:
        """The number of samples by cell, status and level.

        Returns:
            (cell, status, level, samples, samples that the paper's rule finds, samples cut off);
            the level is the highest of the program's text and of what it tried when it ran.
        """
        rows = self._store.query(
            "SELECT cell, status, MAX(level, COALESCE((SELECT MAX(e.level) FROM sample_events e "
            "WHERE e.program_id = samples.program_id), 0)) AS reached, COUNT(*), SUM(paper_rule), "
            "SUM(cut_off) FROM samples GROUP BY cell, status, reached"
        )
        return [tuple(row) for row in rows]

    def run_statuses(self) -> list[tuple[str, str, int]]:
        """(cell, status of the improver run, number of samples), of runs that have ended."""
        rows = self._store.query(
            "SELECT s.cell, r.status, COUNT(*) FROM samples s JOIN improver_runs r "
            "ON r.key = ? || s.program_id WHERE r.status != 'running' GROUP BY s.cell, r.status",
            (RUN_KEY,),
        )
        return [tuple(row) for row in rows]

    def all(self) -> Iterator[SampleRecord]:
        """Every sample, by cell and number, with the outcome of its run."""
        events: dict[str, list[dict[str, Any]]] = {}
        for row in self._store.query("SELECT * FROM sample_events ORDER BY level DESC, kind"):
            event = {"kind": row["kind"], "level": row["level"], "detail": row["detail"]}
            events.setdefault(row["program_id"], []).append(event)
        rows = self._store.query(
            "SELECT s.*, r.status AS run_status, r.detail AS run_detail FROM samples s "
            "LEFT JOIN improver_runs r ON r.key = ? || s.program_id ORDER BY s.cell, s.number",
            (RUN_KEY,),
        )
        for row in rows:
            values = decoded(row, ("paper_rule", "cut_off"), ("findings",))
            yield SampleRecord(**values, events=events.get(row["program_id"], []))

    def scopes(self, program: str) -> list[str]:
        """The scopes of the tape in which the response with a program may be, the likeliest first.

        Its request began with a sample of its number, or of one before it. [] for other programs.
        """
        row = self._store.query(
            "SELECT cell, number FROM samples WHERE program_id = ? ORDER BY rowid LIMIT 1",
            (program,),
        ).fetchone()
        if row is None:
            return []
        last = int(row["number"])
        numbers = range(last, max(-1, last - MAX_RESPONSES), -1)
        return [f"{SAMPLE_KEY}{row['cell']}/{number}" for number in numbers]

    # --- their runs

    def to_run(self) -> list[str]:
        """The ids of programs that can be executed and have not been, each once."""
        rows = self._store.query(
            "SELECT program_id FROM samples s WHERE status IN ('ok', 'unreadable') AND NOT EXISTS "
            "(SELECT 1 FROM improver_runs r WHERE r.key = ? || s.program_id "
            "AND r.status != 'running') GROUP BY program_id ORDER BY MIN(number), MIN(cell)",
            (RUN_KEY,),
        )
        return [str(row[0]) for row in rows]

    def add_event(self, program: str, kind: str, level: int, detail: str) -> None:
        """Records what a program tried when it ran; the first of a kind and level stays."""
        row = {"program_id": program, "kind": kind, "level": level, "detail": detail}
        self._store.add_row("sample_events", row, "OR IGNORE")
