"""`stop costs`: what a run's language model calls cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import clean, json_option, say, show_json, table

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
@click.argument("run_name", metavar="RUN")
@runs_dir_option
@json_option
def costs(run_name: str, runs_dir: str, as_json: bool) -> None:
    """LM calls, tokens, money and faults of RUN, by level of improver runs and by model.

    Also what the run and each of its rounds have spent, of their limits.
    """
    from stop.cli.runs import find_run
    from stop.recorded_run import open_run
    from stop.runs.spending import read_budget
    from stop.store.calls import call_totals
    from stop.store.faults import Faults

    run = open_run(find_run(run_name, runs_dir))
    store = run.store()
    try:
        levels = {level: store.spending(level).to_dict() for level in ("meta", "task")}
        total = store.spending().to_dict()
        calls = call_totals(store)
        faults = Faults(store).counts()
        budget = read_budget(store, run.config)
    finally:
        store.close()
    document = {
        "run": str(run.folder),
        "total": total,
        "levels": levels,
        "budget": budget,
        "models": calls.models,
        "retries": calls.retries,
        "faults": [asdict(each) | {"seconds": round(each.seconds, 3)} for each in faults],
        "requests_failed": sum(each.ended for each in faults),
        "seconds_lost": round(sum(each.seconds for each in faults), 3),
        "cut_off_responses": calls.cut_off,
        "estimated_calls": calls.estimated,
        "seconds": round(calls.seconds, 3),
    }
    if as_json:
        show_json(document)
        return
    _show(document)


def _show(document: dict[str, Any]) -> None:
    rows = []
    for name, label in (("meta", "improvers rewritten"), ("task", "solutions rewritten")):
        rows.append([label, *_cells(document["levels"][name])])
    rows.append(["total", *_cells(document["total"])])
    table(["", "calls", "responses", "tokens read", "tokens written", "money"], rows)
    say()
    _show_budget(document["budget"])
    say("models      " + clean(", ".join(f"{m} ({n})" for m, n in document["models"].items())))
    say(f"waited      {document['seconds']:.0f} s for the model, all calls added up")
    say(f"retries     {document['retries']}")
    _show_faults(document)
    if document["cut_off_responses"]:
        say(f"cut off     {document['cut_off_responses']} response(s) at the token limit")
    if document["estimated_calls"]:
        say(f"estimated   {document['estimated_calls']} call(s): the server gave no usable figures")


def _show_faults(document: dict[str, Any]) -> None:
    faults = document["faults"]
    if not faults:
        return
    count = sum(each["count"] for each in faults)
    failed = document["requests_failed"]
    say(f"faults      {count}, {document['seconds_lost']:.0f} s lost, all requests added up; "
        f"{failed} request(s) failed for good")  # fmt: skip
    for each in faults:
        ended = f", {each['ended']} for good" if each["ended"] else ""
        text = f"  {each['reason']}: {each['count']}, {each['seconds']:.0f} s{ended}; last: "
        say(clean(text + each["last"])[:160])


def _show_budget(budget: dict[str, Any]) -> None:
    """Spent of limit, for the run and its rounds; what it is made of where there is no limit."""
    lost = budget["lost"]
    if lost["calls"]:
        tokens = f"{lost['prompt_tokens']} + {lost['completion_tokens']} tokens at the most"
        say(f"without a response, and yet maybe paid for: {lost['calls']} calls, {tokens}")
        say()
    levels = [("run", budget["run"])]
    levels += [(f"round {each['round']}", each) for each in budget["rounds"]]
    rows = [
        [name, *(_of_limit(each["spent"][r], each["limits"].get(r)) for r in _RESOURCES)]
        for name, each in levels
    ]
    table(["spent of limit", *_RESOURCES.values()], rows)
    say()


def _of_limit(spent: float | None, limit: float | None) -> str:
    text = "unknown" if spent is None else f"{spent:.10g}"
    return text if limit is None else f"{text} of {limit:g}"


def _cells(spent: dict[str, Any]) -> list[Any]:
    usd = "unknown" if spent["usd"] is None else f"${spent['usd']:.4f}"
    return [spent["calls"], spent["responses"], spent["prompt_tokens"],
            spent["completion_tokens"], usd]  # fmt: skip
