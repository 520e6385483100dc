"""Runs as people name them in a notebook: one or several, opened or by their folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from stop.recorded_run import Run, open_run


class HasFolder(Protocol):
    """`Run`, `Improved`'s run, `BypassRates`, `Transfer`: whatever lies in a run folder."""

    @property
    def folder(self) -> Path: ...


OneRun = HasFolder | str | Path
Runs = OneRun | Iterable[OneRun]


def as_run(run: OneRun) -> Run:
    """A run by itself or by its folder; `RunError` when there is none."""
    if isinstance(run, Run):
        return run
    return open_run(run if isinstance(run, str | Path) else run.folder)


def as_runs(runs: Runs) -> dict[str, Run]:
    """Runs by name, in order. The name is the folder's, or its path where two have the same."""
    given = list(runs) if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    opened = list(dict.fromkeys(as_run(run) for run in given))  # named twice, it counts once
    names = [run.folder.name for run in opened]
    return {
        (name if names.count(name) == 1 else str(run.folder)): run
        for name, run in zip(names, opened, strict=True)
    }
