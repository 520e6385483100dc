"""All evaluations of a run by what was scored, for a comparison of two runs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stop.store import Store

Place = tuple[str, str, str, int]
"""(program id, task, split, repetition)."""


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """An evaluation's outcome. `instances` are (score, status, CPU seconds)."""

    key: str
    score: float
    status: str
    isolation: str
    instances: tuple[tuple[float, str, float], ...]


def evaluation_records(store: Store) -> dict[Place, EvaluationRecord]:
    """Oldest first; of two in one place (a run that went on in another sandbox) the newest."""
    rows = store.query(
        "SELECT program_id, task, split, repetition, key, score, status, isolation, instances "
        "FROM evaluations ORDER BY created"
    )
    found = {}
    for row in rows:
        instances = tuple((i[0], i[1], i[2]) for i in json.loads(row["instances"]))
        place = (row["program_id"], row["task"], row["split"], row["repetition"])
        found[place] = EvaluationRecord(
            row["key"], row["score"], row["status"], row["isolation"], instances
        )
    return found
