"""What a run cost: tables and notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.report import models
from stop.report.data import Costs, Table
from stop.report.text import one_line
from stop.report.words import amount, cost, money, plural
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
_LEVELS = (
    ("meta", "rewriting improvers"), ("task", "rewriting solutions"), (None, "together"),
)  # fmt: skip
_HEADS = ("LM calls", "answers", "tokens read", "tokens written", "money")
_MAX_ROWS = 60


def read_costs(folder: Path, store: Store, config: RunConfig) -> Costs:
    """Reads what the run cost by level and by model, its limits, and the faults of servers."""
    rows = tuple(
        (words, *_cells(spent, models.billed(config, level)))
        for level, words in _LEVELS
        if (spent := store.spending(level).to_dict())["calls"] or level is None
    )
    numeric = frozenset(range(1, 6))
    budget: Any = read_budget(store, config)
    served = models.has_server(config)
    faults = "Faults of the model's server" if served else "Faults in getting answers"
    tables = (
        ("By what it was for", Table(("for", *_HEADS), rows, numeric)),
        ("By model", Table(("model", *_HEADS), _models(store, models.billed(config)), numeric)),
        ("Limits", _budget(budget)),
        (faults, _faults(store)),
    )
    shown = tuple((caption, table) for caption, table in tables if table.rows)
    absent = {caption for caption, table in tables if not table.rows}
    notes = ["No limit was set for the run or its rounds."] * ("Limits" in absent)
    notes += ["The model's server made no faults."] * (served and faults in absent)
    notes += _notes(store, budget, served)
    return Costs(models.described(folder, config), shown, tuple(notes))


def _cells(spent: dict[str, Any], billed: bool) -> tuple[str, ...]:
    keys = ("calls", "responses", "prompt_tokens", "completion_tokens")
    return (*(amount(spent[key]) for key in keys), cost(spent["usd"], billed))


def _models(store: Store, billed: bool) -> tuple[tuple[str, ...], ...]:
    rows = store.query(
        "SELECT model, COUNT(*) AS calls, SUM(n) AS responses, SUM(prompt_tokens) AS prompt_tokens,"
        " SUM(completion_tokens) AS completion_tokens,"
        " CASE WHEN SUM(usd IS NULL) THEN NULL ELSE SUM(usd) END AS usd"
        " FROM lm_calls GROUP BY model ORDER BY calls DESC LIMIT 20"
    )
    return tuple((one_line(row["model"] or "unknown"), *_cells(dict(row), billed)) for row in rows)


def _budget(budget: dict[str, Any]) -> Table:
    levels = [("the whole run", budget["run"])]
    levels += [(f"round {each['round']}", each) for each in budget["rounds"]]
    rows = []
    for name, level in levels[:_MAX_ROWS]:
        for resource, limit in level["limits"].items():
            spent, of = level["spent"].get(resource), money if resource == "usd" else amount
            share = "" if spent is None or not limit else f"{spent / limit:.0%}"
            rows.append((name, _RESOURCES.get(resource, resource), of(spent), of(limit), share))
    heads = ("limit of", "", "spent", "limit", "share")
    return Table(heads, tuple(rows[:_MAX_ROWS]), frozenset({2, 3, 4}))


def _faults(store: Store) -> Table:
    rows = tuple(
        (
            one_line(each.reason),
            amount(each.count),
            amount(each.ended),
            f"{each.seconds:.0f} s",
            one_line(each.last),
        )
        for each in Faults(store).counts()
    )
    heads = ("what", "times", "request given up", "time lost", "the last one")
    return Table(heads, rows, frozenset({1, 2, 3}))


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
