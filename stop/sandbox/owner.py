"""Who started a container: enough to tell, later, whether that process is dead."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def owner_mark() -> str:
    """ "machine:boot:pid:start time" of this process."""
    return ":".join([_machine(), _boot(), str(os.getpid()), _start_time(os.getpid())])


def owner_is_dead(mark: str) -> bool:
    """Whether the process of `mark` has ended. False where it cannot be told from here."""
    try:
        machine, boot, pid, start_time = mark.split(":")
    except ValueError:
        return False
    if machine != _machine():
        return False
    return boot != _boot() or _start_time(int(pid)) != start_time


def _machine() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text().strip()[:12]
        except OSError:
            continue
    return platform.node().replace(":", "-") or "unknown"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "-"


def _start_time(pid: int) -> str:
    """Clock ticks after boot at which the process began; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
