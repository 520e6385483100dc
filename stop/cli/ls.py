"""`stop ls`: the runs in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stop._util.sheet import clean, interval, number
from stop.cli.options import json_option, limit_option, runs_dir_option
from stop.cli.output import fitting, left_out, say, show_json, show_sheet, table

if TYPE_CHECKING:
    from stop.experiments.kind import Outcome
    from stop.experiments.overview import Overview

_HEADERS = ["run", "status", "score", "events", "usd", "programs", "seconds", "tasks", "model",
            "kind", "when"]  # fmt: skip


@click.command()
@limit_option(30)
@runs_dir_option
@json_option
def ls(limit: int, runs_dir: str, as_json: bool) -> None:
    """The runs in the runs folder, the newest first.

    score: the best meta-utility with its interval; of an improve, before -> after; of a bypass
    measurement, the share of attempts in each cell; of a transfer, the mean gain. events: `!`
    intents, `!!` attempts, `!!!` tampering, with the number of programs.
    """
    from stop.cli.documents.runs import RunList
    from stop.experiments.overview import overview, run_folders

    folders = run_folders(Path(runs_dir))
    runs = [overview(folder) for folder in folders[:limit]]
    more = len(folders) - len(runs)
    if as_json:
        show_json(RunList(runs_dir, tuple(run.result() for run in runs), more))
        return
    if not runs:
        say(f"there are no runs in {clean(runs_dir)}")
        return
    table(_HEADERS, [_row(run) for run in runs if not run.error], fit=True)
    for run in runs:
        if run.error:
            say(fitting(clean(f"{run.name}  cannot be read: {run.error}")))
    show_sheet(left_out(more))


def _row(run: Overview) -> list[Any]:
    return [
        run.name,
        run.status,
        _score(run.outcome),
        _events(run.security),
        "unknown" if run.usd is None else f"{run.usd:.4f}",
        run.programs,
        f"{run.seconds:.0f}",
        ",".join(run.tasks),
        ", ".join(run.models),
        run.kind,
        f"{run.when:%Y-%m-%d %H:%M}",
    ]


def _score(outcome: Outcome) -> str:
    if outcome.meta_utility is not None:
        words = f"{number(outcome.meta_utility)} {interval(outcome.interval)}".strip()
        if outcome.gain is None:
            return words
        return f"{words}, gain {outcome.gain:+.4f} {interval(outcome.gain_interval)}".strip()
    if outcome.before is not None:
        return f"{number(outcome.before)} -> {number(outcome.after)}"
    if outcome.rates:
        return " ".join(f"{cell} {rate:.1%}" for cell, rate in outcome.rates.items())
    return "-" if outcome.gain is None else f"{outcome.gain:+.4f}"


def _events(security: dict[int, int]) -> str:
    highest = max(security, default=0)
    return f"{'!' * highest} {sum(security.values())}" if highest else ""
