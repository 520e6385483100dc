"""The runs of a folder at a glance: one line for each, whatever state it is in."""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from stop._util.documents import to_document
from stop.config import RunConfig
from stop.errors import RunError, StopError
from stop.experiments import kind_of, read_config
from stop.experiments.kind import Outcome
from stop.lineage.security import SecurityCounts
from stop.runs.folder import run_status
from stop.store import Store

_STAMP = re.compile(r"\d{8}-\d{6}")


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run at a glance; null where something does not apply.

    Attributes:
        name: of its folder.
        when: it was made, in local time.
        error: null: it can be read.
        kind: "run", "improve", "transfer" or "bypass".
        tasks: their names.
        models: that of the task level, and that of the meta level if it is another.
        status: "new", "running", "done", "budget", "failed", "halted" or "interrupted".
        meta_utility: of the best improver of a run.
        interval: of `meta_utility`, 95 %.
        before: score of the program that an improve began with, on the meta split.
        after: score of the program that it ended with.
        rates: of a bypass measurement, the share of samples at any level, by cell.
        gain: of a run, best minus first improver in the final comparison; of a transfer, on the
            test split, the mean over tasks. As a share of the range of scores.
        gain_interval: of `gain`, 95 %, of a run.
        programs: number of distinct programs.
        usd: US dollars; null when a price is not known.
        security_programs: number of programs by the highest level of their events, "1" to "3".
        seconds: of work.
    """

    name: str
    when: str
    error: None
    kind: str
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    status: str
    meta_utility: float | None
    interval: tuple[float, float] | None
    before: float | None
    after: float | None
    rates: dict[str, float]
    gain: float | None
    gain_interval: tuple[float, float] | None
    programs: int
    usd: float | None
    security_programs: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class UnreadableRun:
    """A run that cannot be read.

    Attributes:
        name: of its folder.
        when: it was made, in local time.
        error: why it cannot be read.
    """

    name: str
    when: str
    error: str


@dataclass(frozen=True, slots=True)
class Overview:
    """One run.

    Attributes:
        name: of its folder.
        when: it was made, in local time.
        error: why it cannot be read; then nothing else is known.
        kind, tasks, status: as in its configuration and result.
        models: that of the task level, and that of the meta level if it is another.
        outcome: its result in a few numbers.
        programs: distinct ones.
        usd: what its LM calls cost; None when a price is not known.
        security: number of programs with events by level, each at its highest level.
        seconds: of work.
    """

    name: str
    when: datetime
    error: str = ""
    kind: str = ""
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    status: str = "new"
    outcome: Outcome = field(default_factory=Outcome)
    programs: int = 0
    usd: float | None = 0.0
    security: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    def result(self) -> RunLine | UnreadableRun:
        """Returns the run as `stop ls --json` prints it."""
        when, found = self.when.isoformat(timespec="seconds"), self.outcome
        if self.error:
            return UnreadableRun(self.name, when, self.error)
        return RunLine(
            self.name, when, None, self.kind, self.tasks, self.models, self.status,
            found.meta_utility, found.interval, found.before, found.after, found.rates, found.gain,
            found.gain_interval,
            self.programs, self.usd,
            {str(level): self.security.get(level, 0) for level in (1, 2, 3)}, self.seconds,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As `stop ls --json` prints it."""
        return to_document(self.result())


def run_folders(runs_dir: Path) -> list[Path]:
    """The folders of runs, the newest first.

    Raises:
        RunError: the folder cannot be read.
    """
    try:
        with os.scandir(runs_dir) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{runs_dir} cannot be read: {error.strerror}") from error
    folders = [runs_dir / name for name in names if (runs_dir / name / "config.json").is_file()]
    return sorted(folders, key=lambda folder: (_made(folder), folder.name), reverse=True)


def overview(folder: Path) -> Overview:
    """A run at a glance. One that is damaged, or of another version, says so."""
    try:
        return _read(folder, read_config(folder))
    except StopError as error:
        problem = error.message
    except (OSError, sqlite3.Error, ValueError, TypeError, LookupError) as error:
        problem = f"{type(error).__name__}: {error}"
    return Overview(folder.name, _made(folder), error=problem or "it cannot be read")


def _read(folder: Path, config: RunConfig) -> Overview:
    models = dict.fromkeys([config.lm, config.meta_lm or config.lm])
    known: dict[str, Any] = {
        "kind": config.kind,
        "tasks": tuple(Path(task).name for task in config.tasks),
        "models": tuple(models),
    }
    if not (folder / "run.db").exists():  # made, and not begun
        return Overview(folder.name, _made(folder), **known)
    security: dict[int, int] = {}
    counts = SecurityCounts(folder)
    counts.refresh()
    for level in counts.levels():
        security[level] = security.get(level, 0) + 1
    store = Store(folder / "run.db", read_only=True)
    try:
        spent = store.spending()
        return Overview(
            folder.name,
            _made(folder),
            **known,
            status=run_status(folder, store),
            outcome=kind_of(config).outcome(store, config),
            programs=store.count_programs(),
            usd=None if spent.usd_unknown_calls else round(spent.usd, 6),
            security=security,
            seconds=round(float(store.meta("seconds") or 0), 3),
        )
    finally:
        store.close()


def _made(folder: Path) -> datetime:
    """By its name; of a folder with another name, when its configuration was written."""
    stamp = _STAMP.match(folder.name)
    if stamp is not None:
        try:
            return datetime.strptime(stamp[0], "%Y%m%d-%H%M%S").astimezone()
        except ValueError:  # digits that are no time
            pass
    try:
        return datetime.fromtimestamp((folder / "config.json").stat().st_mtime).astimezone()
    except OSError:
        return datetime.fromtimestamp(0).astimezone()
