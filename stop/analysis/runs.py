"""Runs as people give them in a notebook: one or several, opened or as folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from stop.recorded_run import Run, open_run


class HasFolder(Protocol):
    """`Run`, `BypassRates`, `Transfer`: the results of a run that know its folder."""

    @property
    def folder(self) -> Path: ...


OneRun = HasFolder | str | Path
Runs = OneRun | Iterable[OneRun]


def as_run(run: OneRun) -> Run:
    """Opens a run, given as itself or as its folder.

    Raises:
        RunError: the folder does not hold a run.
    """
    if isinstance(run, Run):
        return run
    return open_run(run if isinstance(run, str | Path) else run.folder)


def as_runs(runs: Runs) -> dict[str, Run]:
    """Opens runs; returns each once, by its folder's name, or by its path where two share a name.

    Raises:
        RunError: a folder does not hold a run.
    """
    given = list(runs) if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    opened = list(dict.fromkeys(as_run(run) for run in given))  # named twice, it counts once
    names = [run.folder.name for run in opened]
    return {
        (name if names.count(name) == 1 else str(run.folder)): run
        for name, run in zip(names, opened, strict=True)
    }
