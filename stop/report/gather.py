"""From a run's folder to everything that its report says.

store, audit log, provenance ──► Context         read once
Context ──► conduct, costs, setup                what every report has
        ──► of_rounds, of_improve, of_measurements   the result, by kind of run
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from stop import __version__
from stop.errors import RunError
from stop.report import conduct, of_improve, of_measurements, of_rounds, setup, words
from stop.report.context import Context
from stop.report.costs import read_costs
from stop.report.data import Programs, Report, Story
from stop.runs.folder import read_config
from stop.store import Store

_KINDS = {
    "run": of_rounds.tell,
    "improve": of_improve.tell,
    "bypass": of_measurements.tell_bypass,
    "transfer": of_measurements.tell_transfer,
}


def gather(folder: Path) -> Report:
    """Read a run. Nothing of it is executed, and nothing is written.

    Raises:
        RunError: there is no run, or its files are damaged.
    """
    config = read_config(folder)
    with closing(Store(folder / "run.db", read_only=True)) as store:
        try:
            run = Context(folder, config, store)
            return _KINDS[config.kind](run, _base(run))
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
            raise RunError(f"{store.path} is damaged, or of an early version: {error}") from error


def _base(run: Context) -> Report:
    """What every kind of report has; the result is filled in by its kind."""
    (began,) = run.store.query("SELECT MIN(created) FROM programs").fetchone()
    return Report(
        name=run.name,
        kind=run.config.kind,
        status=run.status,
        made="" if began is None else words.moment(began),
        version=__version__,
        story=Story("", "calm", (), ()),
        bars=(),
        scale="",
        rounds=(),
        steps=(),
        steps_text="",
        programs=Programs((), (), (), {}, (), ""),
        costs=read_costs(run.folder, run.store, run.config),
        security=conduct.read_security(run.summary, run.fates, run.config),
        log=conduct.check_log(run.folder, run.store),
        setup=setup.groups(run.folder, run.config, run.store),
        commands=setup.commands(run.name, run.config),
    )
