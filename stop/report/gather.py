"""From a run's folder to everything that its report says.

store, audit log, provenance ──► Context         read once
Context ──► conduct, costs, setup                what every report has
        ──► of_rounds, of_improve, of_measurements   the result, by kind of run (kinds.py)
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from stop import __version__
from stop.errors import RunError
from stop.report import conduct, setup, words
from stop.report.context import Context
from stop.report.costs import read_costs
from stop.report.data import Report
from stop.report.kinds import KINDS, OTHER, Kind
from stop.run_folder import read_config
from stop.store import Store


def gather(folder: Path) -> Report:
    """Reads what the report of the run in `folder` says.

    Nothing of the run is executed, and nothing is written.

    Raises:
        RunError: there is no run, or its files are damaged.
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
        costs=read_costs(run.folder, run.store, run.config),
        security=conduct.read_security(run.summary, run.fates, run.config),
        log=conduct.check_log(run.folder, run.store),
        setup=setup.groups(run.folder, run.config, run.store, kind.unused),
        commands=setup.commands(run.name, kind.commands),
    )
