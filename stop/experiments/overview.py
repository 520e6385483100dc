"""The runs of a folder at a glance: one line for each, whatever state it is in."""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.errors import RunError, StopError
from stop.experiments import kind_of, read_config
from stop.experiments.kind import Outcome
from stop.lineage.security import SecurityCounts
from stop.runs.folder import run_status
from stop.store import Store

_STAMP = re.compile(r"\d{8}-\d{6}")


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

    def to_dict(self) -> dict[str, Any]:
        """As `stop ls --json` prints it."""
        head = {"name": self.name, "when": self.when.isoformat(timespec="seconds")}
        if self.error:
            return head | {"error": self.error}
        interval = self.outcome.interval
        return head | {
            "error": None,
            "kind": self.kind,
            "tasks": list(self.tasks),
            "models": list(self.models),
            "status": self.status,
            "meta_utility": self.outcome.meta_utility,
            "interval": interval and list(interval),
            "before": self.outcome.before,
            "after": self.outcome.after,
            "rates": self.outcome.rates,
            "gain": self.outcome.gain,
            "programs": self.programs,
            "usd": self.usd,
            "security_programs": {str(level): self.security.get(level, 0) for level in (1, 2, 3)},
            "seconds": self.seconds,
        }


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
