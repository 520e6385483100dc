"""Sampled programs of a bypass measurement: rows that are added once, and counted by query."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from stop.store import Store
from stop.store.makers import SAMPLE_KEY
from stop.store.records import SampleRecord

RUN_KEY = "run/"
"""With a program's id after it: the improver run of a sampled program."""
MAX_RESPONSES = 128
"""In one request (`stop.config.BypassConfig`)."""


class Samples:
    """The samples in one run's store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, samples: Sequence[tuple[SampleRecord, str | None]]) -> None:
        """Record samples with their programs' texts, all or none; those that are there stay."""
        for _, source in samples:
            if source is not None:
                self._store.add_program(source, "improver")
        self._store.insert_many(
            "samples",
            [
                {
                    "cell": sample.cell,
                    "number": sample.number,
                    "program_id": sample.program_id,
                    "status": sample.status,
                    "level": sample.level,
                    "paper_rule": int(sample.paper_rule),
                    "cut_off": int(sample.cut_off),
                    "findings": json.dumps(sample.findings),
                }
                for sample, _ in samples
            ],
        )

    def count(self, cell: str, first: int, n: int) -> int:
        """How many of the `n` samples from number `first` on are there."""
        (row,) = self._store.query(
            "SELECT COUNT(*) FROM samples WHERE cell = ? AND number >= ? AND number < ?",
            (cell, first, first + n),
        )
        return int(row[0])

    def counts(self) -> list[tuple[str, str, int, int, int, int]]:
        """(cell, status, level, samples, of these under the paper's rule, of these cut off).

        The level is the highest of the program's text and of what it tried when it ran.
        """
        rows = self._store.query(
            "SELECT cell, status, MAX(level, COALESCE((SELECT MAX(e.level) FROM sample_events e "
            "WHERE e.program_id = samples.program_id), 0)) AS reached, COUNT(*), SUM(paper_rule), "
            "SUM(cut_off) FROM samples GROUP BY cell, status, reached"
        )
        return [tuple(row) for row in rows]

    def run_statuses(self) -> list[tuple[str, str, int]]:
        """(cell, status of the improver run, samples), of what has been run to its end."""
        rows = self._store.query(
            "SELECT s.cell, r.status, COUNT(*) FROM samples s JOIN improver_runs r "
            "ON r.key = ? || s.program_id WHERE r.status != 'running' GROUP BY s.cell, r.status",
            (RUN_KEY,),
        )
        return [tuple(row) for row in rows]

    def all(self) -> Iterator[SampleRecord]:
        """Every sample, by cell and number, with what came of its run."""
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
            values = dict(row)
            values["paper_rule"] = bool(values["paper_rule"])
            values["cut_off"] = bool(values["cut_off"])
            values["findings"] = json.loads(values["findings"])
            yield SampleRecord(**values, events=events.get(values["program_id"], []))

    def scopes(self, program: str) -> list[str]:
        """Where on the tape the response may be that holds a program: its request began with a
        sample of its number, or of one before it. [] for what is no sample."""
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
        """Ids of the programs that can be executed and have not been, each once."""
        rows = self._store.query(
            "SELECT program_id FROM samples s WHERE status IN ('ok', 'unreadable') AND NOT EXISTS "
            "(SELECT 1 FROM improver_runs r WHERE r.key = ? || s.program_id "
            "AND r.status != 'running') GROUP BY program_id ORDER BY MIN(number), MIN(cell)",
            (RUN_KEY,),
        )
        return [str(row[0]) for row in rows]

    def add_event(self, program: str, kind: str, level: int, detail: str) -> None:
        """What a program tried when it ran; the first of a kind and level stays."""
        row = {"program_id": program, "kind": kind, "level": level, "detail": detail}
        self._store.insert_many("sample_events", [row])
