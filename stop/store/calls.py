"""What the LM calls of a run came to, by counting queries."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stop.store import Store
from stop.store.schema import CUT_OFF


@dataclass(frozen=True, slots=True)
class CallTotals:
    """Sums over the recorded calls of a run.

    Attributes:
        models: calls by model.
        retries: attempts that were made again.
        estimated: calls whose tokens the server did not tell.
        seconds: of all calls, added up.
        cut_off: responses that ended at the token limit.
    """

    models: dict[str, int]
    retries: int
    estimated: int
    seconds: float
    cut_off: int


def call_totals(store: Store) -> CallTotals:
    rows = store.query(
        "SELECT model, COUNT(*), SUM(retries), SUM(estimated), SUM(finished - started) "
        "FROM lm_calls GROUP BY model ORDER BY MIN(id)"
    ).fetchall()
    cut_off = store.query(f"SELECT choices FROM lm_calls WHERE {CUT_OFF}")
    reasons = (c.get("finish_reason") for row in cut_off for c in json.loads(row[0]))
    return CallTotals(
        {str(row[0] or "unknown"): int(row[1]) for row in rows},
        sum(int(row[2]) for row in rows),
        sum(int(row[3]) for row in rows),
        sum(float(row[4]) for row in rows),
        sum(reason == "length" for reason in reasons),
    )
