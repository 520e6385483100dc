"""What a run cost, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.report import models
from stop.report.data import Costs, Table
from stop.report.text import one_line
from stop.report.words import amount, cost, count, money, plural
from stop.runs.spending import read_budget
from stop.store import Store
from stop.store.faults import Faults

_RESOURCES = {
    "usd": "money",
    "tokens": "tokens",
    "lm_calls": "LM calls",
    "responses": "answers",
    "prompt_tokens": "tokens read",
    "completion_tokens": "tokens written",
    "utility_calls": "programs scored",
    "seconds": "seconds",
}
_LEVELS = (("meta", "rewriting improvers"), ("task", "rewriting solutions"))
_HEADS = ("LM calls", "answers", "tokens read", "tokens written", "money")
_MAX_ROWS = 60


def read_costs(folder: Path, store: Store, config: RunConfig) -> Costs:
    """The models, by level and by model, spent of limit, and what went wrong with the servers."""
    levels = [(level, words, store.spending(level).to_dict()) for level, words in _LEVELS]
    rows = [
        (words, *_cells(spent, models.billed(config, level)))
        for level, words, spent in levels
        if spent["calls"]
    ]
    total = store.spending().to_dict()
    rows.append(("together", *_cells(total, models.billed(config))))
    numeric = frozenset(range(1, 6))
    budget = read_budget(store, config)
    return Costs(
        models.described(folder, config),
        models.has_server(config),
        Table(("for", *_HEADS), tuple(rows), numeric),
        Table(("model", *_HEADS), tuple(_models(store, models.billed(config))), numeric),
        _budget(budget),
        _faults(store),
        tuple(_notes(store, budget, models.has_server(config))),
    )


def _cells(spent: dict[str, Any], billed: bool) -> tuple[str, ...]:
    keys = ("calls", "responses", "prompt_tokens", "completion_tokens")
    return (*(count(spent[key]) for key in keys), cost(spent["usd"], billed))


def _models(store: Store, billed: bool) -> list[tuple[str, ...]]:
    rows = store.query(
        "SELECT model, COUNT(*) AS calls, SUM(n) AS responses, SUM(prompt_tokens) AS prompt_tokens,"
        " SUM(completion_tokens) AS completion_tokens,"
        " CASE WHEN SUM(usd IS NULL) THEN NULL ELSE SUM(usd) END AS usd"
        " FROM lm_calls GROUP BY model ORDER BY calls DESC LIMIT 20"
    )
    return [(one_line(row["model"] or "unknown"), *_cells(dict(row), billed)) for row in rows]


def _budget(budget: dict[str, Any]) -> Table | None:
    levels = [("the whole run", budget["run"])]
    levels += [(f"round {each['round']}", each) for each in budget["rounds"]]
    rows = []
    for name, level in levels[:_MAX_ROWS]:
        for resource, limit in level["limits"].items():
            spent = level["spent"].get(resource)
            share = "" if spent is None or not limit else f"{spent / limit:.0%}"
            values = (_of(resource, each) for each in (spent, limit))
            rows.append((name, _RESOURCES.get(resource, resource), *values, share))
    if not rows:
        return None
    heads = ("limit of", "", "spent", "limit", "share")
    return Table(heads, tuple(rows[:_MAX_ROWS]), frozenset({2, 3, 4}))


def _of(resource: str, value: float | None) -> str:
    return money(value) if resource == "usd" else amount(value)


def _faults(store: Store) -> Table | None:
    rows = tuple(
        (
            one_line(each.reason),
            count(each.count),
            count(each.ended),
            f"{each.seconds:.0f} s",
            one_line(each.last),
        )
        for each in Faults(store).counts()
    )
    heads = ("what", "times", "request given up", "time lost", "the last one")
    return Table(heads, rows, frozenset({1, 2, 3})) if rows else None


def _notes(store: Store, budget: dict[str, Any], served: bool) -> list[str]:
    row = store.query(
        "SELECT COALESCE(SUM(estimated), 0), COALESCE(SUM(retries), 0), "
        "COALESCE(SUM(finished - started), 0) FROM lm_calls"
    ).fetchone()
    notes = [
        f"Waited for answers: {amount(round(row[2]))} seconds, all requests added up: several "
        "may wait at once."
    ]
    if row[0]:
        why = "the server gave no usable figures" if served else "there was no server to count them"
        notes.append(f"Tokens of {plural(row[0], 'call')} are estimated: {why}.")
    if row[1]:
        notes.append(f"Requests were sent again {plural(row[1], 'time')}.")
    if lost := budget["lost"]["calls"]:
        notes.append(f"Without a response, and yet maybe paid for: {plural(lost, 'request')}.")
    return notes
