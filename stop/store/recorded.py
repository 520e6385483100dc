"""All evaluations of a run by what was scored, for a comparison of two runs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stop.store.queries import Queries

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


def evaluation_records(store: Queries) -> dict[Place, EvaluationRecord]:
    """The evaluations, oldest first; of two in one place, the newest.

    There are two where a run went on in another sandbox.
    """
    rows = store.query(
        "SELECT program_id, task, split, repetition, key, score, status, isolation, instances "
        "FROM evaluations ORDER BY created"
    )
    found = {}
    for *place, key, score, status, isolation, text in rows:
        instances = tuple((i[0], i[1], i[2]) for i in json.loads(text))
        record = EvaluationRecord(key, score, status, isolation, instances)
        found[place[0], place[1], place[2], place[3]] = record
    return found
