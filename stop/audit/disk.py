"""The file of the audit log: one writer, whole writes, synced folders."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from stop.errors import RunError


def open_locked(path: Path) -> int:
    """Returns a descriptor of the file, made when there is none, for this process alone.

    Raises:
        RunError: another process has it, it is not a regular file, or it cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = os.open(path, flags, 0o600)
    except OSError as error:
        raise RunError(f"the audit log {path} cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise RunError(f"the audit log {path} is not a file")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise RunError(
            f"another process writes the audit log {path}", hint="wait for it, or end it"
        ) from None
    except BaseException:
        os.close(file)
        raise
    return file


def write_all(file: int, data: bytes) -> None:
    """Writes all of `data`, as a rule at once; a full disk takes a part and refuses the rest."""
    done = os.write(file, data)
    while done < len(data):
        done += os.write(file, data[done:])


def sync_folder(folder: Path) -> None:
    """Syncs a folder: only then a new file in it outlives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(f"{folder} cannot be synced to the disk: {error.strerror}") from error
