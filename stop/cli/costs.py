"""`stop costs`: what a run's language model calls cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop._util.sheet import Block, Sheet, Table, money, plural
from stop.cli.options import json_option
from stop.cli.output import show
from stop.cli.runs import run_argument

if TYPE_CHECKING:
    from stop.budget import LMCost
    from stop.runs.spending import BudgetUse, Costs

_RESOURCES = {
    "lm_calls": "calls",
    "responses": "responses",
    "prompt_tokens": "tokens read",
    "completion_tokens": "written",
    "tokens": "together",
    "usd": "money",
    "utility_calls": "utility calls",
    "seconds": "seconds",
}


@click.command()
@run_argument
@json_option
def costs(folder: Path, as_json: bool) -> None:
    """LM calls, tokens, money and faults of RUN, by level of improver runs and by model.

    Also what the run and each of its rounds have spent, of their limits.
    """
    from stop.recorded_run import open_run
    from stop.runs.spending import read_costs

    run = open_run(folder)
    with run.store() as store:
        found = read_costs(store, run.config)
    show(found, _sheet(found), as_json)


def _sheet(found: Costs) -> Sheet:
    levels = {
        "improvers rewritten": found.levels["meta"],
        "solutions rewritten": found.levels["task"],
        "total": found.total,
    }
    heads = ("", "calls", "responses", "tokens read", "tokens written", "money")
    facts = {
        "models": ", ".join(f"{model} ({n})" for model, n in found.models.items()),
        "waited": f"{found.seconds:.0f} s for the model, all calls added up",
        "retries": str(found.retries),
    }
    if found.cut_off_responses:
        facts["cut off"] = f"{plural(found.cut_off_responses, 'response')} at the token limit"
    if found.estimated_calls:
        calls = plural(found.estimated_calls, "call")
        facts["estimated"] = f"{calls}: the server gave no usable figures"
    return [
        Table(heads, [(name, *_cells(lm)) for name, lm in levels.items()]),
        *_budget(found.budget),
        facts,
        *_faults(found),
    ]


def _cells(lm: LMCost) -> tuple[Any, ...]:
    tokens = lm["prompt_tokens"], lm["completion_tokens"]
    return lm["calls"], lm["responses"], *tokens, money(lm["usd"])


def _budget(budget: BudgetUse) -> list[Block]:
    """Spent of limit, for the run and its rounds; what was spent where there is no limit."""
    levels = {"run": budget["run"]}
    levels |= {f"round {each['round']}": each for each in budget["rounds"]}
    rows = [
        (name, *(_of_limit(each["spent"][r], each["limits"].get(r)) for r in _RESOURCES))  # type: ignore[literal-required]
        for name, each in levels.items()
    ]
    found: list[Block] = [Table(("spent of limit", *_RESOURCES.values()), rows)]
    lost = budget["lost"]
    if lost["calls"]:
        found.append(
            f"without a response, and yet maybe paid for: {lost['calls']} calls, at most "
            f"{lost['prompt_tokens']} + {lost['completion_tokens']} tokens"
        )
    return found


def _of_limit(spent: float | None, limit: float | None) -> str:
    text = "unknown" if spent is None else f"{spent:.10g}"
    return text if limit is None else f"{text} of {limit:g}"


def _faults(found: Costs) -> list[Block]:
    if not found.faults:
        return []
    rows = [(f.reason, f.count, f.ended, f"{f.seconds:.0f}", f.last[:80]) for f in found.faults]
    heads = ("faults", "attempts", "for good", "seconds", "last")
    lost = f"{found.seconds_lost:.0f} s lost, all requests added up"
    return [
        Table(heads, rows),
        f"{lost}; {plural(found.requests_failed, 'request')} failed for good",
    ]
