"""`stop costs`: what a run's language model calls cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from stop.cli.options import runs_dir_option
from stop.cli.output import clean, json_option, say, show_json, table


@click.command()
@click.argument("run_name", metavar="RUN")
@runs_dir_option
@json_option
def costs(run_name: str, runs_dir: str, as_json: bool) -> None:
    """LM calls, tokens, money and faults of RUN, by level of improver runs and by model."""
    from stop.api import open_run
    from stop.cli.runs import find_run

    run = open_run(find_run(run_name, runs_dir))
    store = run.store()
    try:
        levels = {level: store.spending(level).to_dict() for level in ("meta", "task")}
        total = store.spending().to_dict()
        calls = store.lm_calls()
    finally:
        store.close()
    models = Counter(call.model or "unknown" for call in calls)
    faults = Counter(fault for call in calls for fault in call.faults)
    cut_off = sum(c.get("finish_reason") == "length" for call in calls for c in call.choices)
    document = {
        "run": str(run.folder),
        "total": total,
        "levels": levels,
        "models": dict(models),
        "retries": sum(call.retries for call in calls),
        "faults": dict(faults),
        "cut_off_responses": cut_off,
        "estimated_calls": sum(call.estimated for call in calls),
        "seconds": round(sum(call.finished - call.started for call in calls), 3),
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
    say("models      " + clean(", ".join(f"{m} ({n})" for m, n in document["models"].items())))
    say(f"waited      {document['seconds']:.0f} s for the model, all calls added up")
    say(f"retries     {document['retries']}")
    for fault, count in document["faults"].items():
        say(f"  {clean(fault)}: {count}")
    if document["cut_off_responses"]:
        say(f"cut off     {document['cut_off_responses']} response(s) at the token limit")
    if document["estimated_calls"]:
        say(f"estimated   {document['estimated_calls']} call(s): the server gave no usable figures")


def _cells(spent: dict[str, Any]) -> list[Any]:
    usd = "unknown" if spent["usd"] is None else f"${spent['usd']:.4f}"
    return [spent["calls"], spent["responses"], spent["prompt_tokens"],
            spent["completion_tokens"], usd]  # fmt: skip
