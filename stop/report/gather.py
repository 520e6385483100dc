"""From a run's folder to everything that its report says.

store, audit log, provenance ──► Context         read once
Context ──► conduct, costs, setup                what every report has
        ──► of_rounds, of_improve, of_measurements   the result, by kind of run (kinds.py)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from stop import __version__
from stop.errors import RunError
from stop.experiments import read_config
from stop.report import conduct, models, setup, words
from stop.report.context import Context
from stop.report.costs import read_costs
from stop.report.data import Report, Story, Tile
from stop.report.kinds import KINDS, OTHER, Kind
from stop.report.words import plural
from stop.store import Store

_STATUS = {
    "budget": "It ended at a limit that was set for it.",
    "failed": "It ended early: something it needs failed.",
    "halted": "It was halted by its policy, after an attempt against the sandbox.",
    "interrupted": "It was interrupted, and can be resumed.",
    "running": "It is still running, or its process was killed.",
    "new": "It has not begun.",
}


def gather(folder: Path) -> Report:
    """Reads what the report of the run in `folder` says.

    Nothing of the run is executed, and nothing is written.

    Raises:
        RunError: There is no run, or its files are damaged.
    """
    config = read_config(folder)
    kind = KINDS.get(config.kind, OTHER)
    with closing(Store(folder / "run.db", read_only=True)) as store:
        try:
            run = Context(folder, config, store, sampled=kind.sampled)
            return kind.tell(run, _base(run, kind))
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
            raise RunError(f"{store.path} is damaged, or of an early version: {error}") from error


def _base(run: Context, kind: Kind) -> Report:
    """What every report has; its kind fills in the result."""
    (began,) = run.store.query("SELECT MIN(created) FROM programs").fetchone()
    return Report(
        name=run.name,
        status=run.status,
        made="" if began is None else words.moment(began),
        version=__version__,
        scores=kind.scores,
        order=kind.order,
        background=tuple(filter(None, (_answers(run), _STATUS.get(run.status, "")))),
        tiles=tuple(_tiles(run)),
        costs=read_costs(run.folder, run.store, run.config),
        security=conduct.read_security(run),
        log=conduct.check_log(run.folder, run.store),
        setup=setup.groups(run.folder, run.config, run.store, kind.unused),
        commands=setup.commands(run.name, kind.commands),
        story=Story(
            "Programs of a run",
            "calm",
            Tile("Kind of run", run.config.kind),
            f"This is a run of the kind {run.config.kind}, on {run.named_tasks}.",
        ),
    )


def _answers(run: Context) -> str:
    named = dict.fromkeys(models.specs(run.config).values())
    sources = " and ".join(f"{setup.shareable(spec)} ({models.what(spec)})" for spec in named)
    about = models.about(run.folder)
    return f"The answers are from {sources}." + (f" About them: {about}" if about else "")


def _tiles(run: Context) -> Iterator[Tile]:
    improvers, solutions = run.lineage.count("improver"), run.lineage.count("solution")
    parts = [plural(improvers, "improver")] * (improvers > 0)
    parts += [plural(solutions, "solution")] * (solutions > 0)
    yield Tile("Programs", words.amount(improvers + solutions), ", ".join(parts))
    spent = run.store.spending()
    usd = None if spent.usd_unknown_calls else spent.usd
    seconds = words.duration(float(run.store.meta("seconds") or 0))
    parts = [plural(spent.lm_calls, "LM call"), f"{spent.tokens:,} tokens", seconds]
    yield Tile("Cost", words.cost(usd, models.billed(run.config)), ", ".join(parts))
    counts = run.summary.by_level
    parts = [f"{counts[each]:,} {words.LEVELS[each]}" for each in (3, 2, 1) if counts.get(each)]
    yield Tile(
        "Programs with security events",
        words.amount(sum(counts.get(each, 0) for each in words.LEVELS)),
        f"highest levels: {', '.join(parts)}" if parts else "nothing was seen",
        "bad" if counts.get(2) or counts.get(3) else "calm",
    )
