"""Totals over the LM calls of a run, by counting queries."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stop.store.queries import Queries

CUT_OFF = """instr(choices, '"finish_reason": "length"')"""
"""Of `lm_calls`; asked in these words, it is answered by the index `lm_calls_cut_off`."""


@dataclass(frozen=True, slots=True)
class CallTotals:
    """Sums over the recorded calls of a run.

    Attributes:
        models: the number of calls by model.
        retries: how many times a call was sent again.
        estimated_calls: the number of calls whose tokens the server did not count.
        seconds: the time of all calls, added up.
        cut_off_responses: the number of responses that ended at the token limit.
    """

    models: dict[str, int]
    retries: int
    estimated_calls: int
    seconds: float
    cut_off_responses: int


def call_totals(store: Queries) -> CallTotals:
    """Adds up the recorded calls; models are in the order of their first call."""
    rows = store.query(
        "SELECT model, COUNT(*), SUM(retries), SUM(estimated), SUM(finished - started) "
        "FROM lm_calls GROUP BY model ORDER BY MIN(id)"
    ).fetchall()
    cut_off = store.query(f"SELECT choices FROM lm_calls WHERE {CUT_OFF}")
    reasons = [choice.get("finish_reason") for row in cut_off for choice in json.loads(row[0])]
    retries, estimated, seconds = (sum(row[column] for row in rows) for column in (2, 3, 4))
    models = {row[0] or "unknown": row[1] for row in rows}
    return CallTotals(models, retries, estimated, float(seconds), reasons.count("length"))
