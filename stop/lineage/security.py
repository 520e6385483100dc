"""The number of security events that each program of a run caused, from its audit log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stop.audit import log as audit_log

_NONE = (0, 0)


class SecurityCounts:
    """Counts by program. The log is read when the first one is asked for, and when it has grown.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "audit.jsonl"
        self._size = -1
        self._counts: dict[str, tuple[int, int]] = {}

    def refresh(self) -> None:
        """Reads the log again if it has grown since."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if size == self._size:
            return
        counts: dict[str, tuple[int, int]] = {}
        for event in audit_log.read(self._path, "security") if size else ():
            if event["level"] > 0:
                events, level = counts.get(event["program_id"], _NONE)
                counts[event["program_id"]] = (events + 1, max(level, event["level"]))
        self._size, self._counts = size, counts

    def levels(self) -> Iterator[int]:
        """The highest level of each program with events."""
        return (level for _, level in self._counts.values())

    def of(self, program_id: str) -> tuple[int, int]:
        """(number of events above level 0, the highest level of them)."""
        return self._counts.get(program_id, _NONE)
