"""A copy of a run's store to read from: SQLite itself would touch the files beside the original."""

from __future__ import annotations

import shutil
from pathlib import Path

from stop._util.locks import LockHeld, shared
from stop.errors import RunError

_FILES = ("run.db", "run.db-wal")
"""A store, and what a process that died had not yet moved into it."""


def copy_store(folder: Path, target: Path) -> Path:
    """Copy the store of the run in `folder` into the folder `target`; returns the copy's path.

    Nothing in `folder` changes, also of a run that a crash cut off.

    Raises:
        RunError: there is no run, a process is at work on it, or it cannot be read.
    """
    if not (folder / "run.db").is_file():
        raise RunError(f"there is no run in {folder}", hint="a run's folder holds run.db")
    try:
        with shared(folder / "lock"):
            for name in _FILES:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, target / name)
    except LockHeld:
        raise RunError(
            f"a process is at work on {folder}", hint="wait until it has ended, or end it"
        ) from None
    except OSError as error:
        raise RunError(f"the run in {folder} cannot be read: {error.strerror}") from error
    return target / "run.db"
