"""The runs of a folder at a glance: one line for each, whatever state it is in."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from stop.config import RunConfig
from stop.errors import RunError, StopError
from stop.lineage.security import SecurityCounts
from stop.runs.folder import read_config, run_status
from stop.store import Store
from stop.store.best import best_round

_STAMP = re.compile(r"\d{8}-\d{6}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, as far as it has come.

    Attributes:
        meta_utility, interval: of the best improver; of the kind "run".
        before, after: scores on the meta split; of the kind "improve".
        rates: share of samples with any attempt, by cell; of the kind "bypass".
        gain: improved minus seed improver on the test split, the mean over tasks; of "transfer".
    """

    meta_utility: float | None = None
    interval: tuple[float, float] | None = None
    before: float | None = None
    after: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """One run.

    Attributes:
        name: of its folder.
        when: it was made, in local time.
        error: why it cannot be read; then nothing else is known.
        kind, tasks, status: as in its configuration and result.
        models: that of the task level, and that of the meta level if it is another.
        outcome: what it came to.
        programs: distinct ones.
        usd: what its LM calls cost; None when a price is not known.
        security: how many programs have events, each at its gravest level, by level.
        seconds: of work.
    """

    name: str
    when: datetime
    error: str = ""
    kind: str = ""
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    status: str = "new"
    outcome: Outcome = Outcome()
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
            outcome=_outcome(store, config),
            programs=store.count_programs(),
            usd=None if spent.usd_unknown_calls else round(spent.usd, 6),
            security=security,
            seconds=round(float(store.meta("seconds") or 0), 3),
        )
    finally:
        store.close()


def _outcome(store: Store, config: RunConfig) -> Outcome:
    if config.kind == "improve":
        return _of_improve(store)
    if config.kind == "bypass":
        return Outcome(rates=dict(_bypass_rates(store, config)))
    if config.kind == "transfer":
        return Outcome(gain=_transfer_gain(store))
    best = best_round(store, config)
    if best is None:
        return Outcome()
    ends = None if best.low is None or best.high is None else (best.low, best.high)
    return Outcome(meta_utility=best.meta_utility, interval=ends)


def _of_improve(store: Store) -> Outcome:
    row = store.query(
        "SELECT initial_id, result_id, status FROM improver_runs WHERE key LIKE 'improve/%'"
    ).fetchone()
    if row is None:
        return Outcome()
    result = row["result_id"] or (None if row["status"] == "running" else row["initial_id"])
    return Outcome(before=_meta_score(store, row["initial_id"]), after=_meta_score(store, result))


def _meta_score(store: Store, program: str | None) -> float | None:
    row = store.query(
        "SELECT score FROM evaluations WHERE program_id = ? AND split = 'meta' "
        "ORDER BY created DESC LIMIT 1",
        (program,),
    ).fetchone()
    return None if row is None else float(row[0])


def _bypass_rates(store: Store, config: RunConfig) -> Iterator[tuple[str, float]]:
    from stop.experiments.bypass.report import read_cells  # noqa: PLC0415 - slow, and seldom needed

    assert config.bypass is not None
    for cell in read_cells(store, config.bypass):
        rate = cell.any_level.rate
        if rate is not None:
            yield cell.cell, rate


def _transfer_gain(store: Store) -> float | None:
    from stop.experiments.transfer import Transfer  # noqa: PLC0415 - slow, and seldom needed

    gains = [each for each in Transfer(store.path.parent).gains if each.split == "test"]
    return sum(each.difference.mean for each in gains) / len(gains) if gains else None


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
