"""The lock file of a folder that one process writes, and that others may copy between its sessions.

It is flock(2) on a file that holds the writer's process number. The system takes the lock away when
the process ends, however that happens; a reader needs no more than permission to read; a folder
that was copied without its lock file is free. The library filelock, which serves where one process
only waits for another, has no shared lock of this kind: its `ReadWriteLock` is an SQLite database,
which readers must be able to write and which has no place for a process number, and the marker
files of its `SoftReadWriteLock` stay behind when a process is killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class LockHeld(Exception):
    """Another process holds the lock.

    Attributes:
        pid: the number of the process that writes; None where a reader holds it, or where the
            writer is not a process of this machine.
    """

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid or 'unknown'}")
        self.pid = pid


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock `path`, which is made if it is missing, as its only holder.

    Raises:
        LockHeld: at once, when another process writes or reads.
        OSError: the file cannot be made or written.
    """
    with path.open("a+") as file:
        _lock(file, fcntl.LOCK_EX, path)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock `path` together with other readers. Without that file nothing is held.

    Raises:
        LockHeld: at once, when another process writes.
        OSError: the file cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield
        return
    with file:
        _lock(file, fcntl.LOCK_SH, path)
        yield


def writer(path: Path) -> int | None:
    """The process number in the lock file, if that process lives on this machine."""
    try:
        pid = int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # somebody else's process
        return pid
    except (OSError, OverflowError):
        return None
    return pid


def _lock(file: IO[Any], kind: int, path: Path) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockHeld(writer(path)) from None
