"""The audit log: append-only JSONL, owned by the host, each line chained to the one before.

    {"seq": 0, "time": …, "kind": …, "level": …, …, "previous": "<hash of line -1>", "hash": …}

`hash` is the SHA-256 of the line's canonical JSON without it. An edit, a swap, or a removed line
breaks the chain; a cut tail shows against a head (count and hash) that was noted elsewhere, e.g. in
the run's store.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stop.errors import RunError
from stop.events import SecurityEvent

FIRST = "0" * 64
_MAX_TEXT = 2000
MAX_EVENTS_PER_KIND = 1000
"""Of one kind in one improver run: a flood is counted, its first events are kept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. `head` is the hash of the last good line."""

    ok: bool
    lines: int
    head: str
    problem: str = ""


class AuditLog:
    """The one writer of a log file. Durable: every line is synced before `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        torn = _cut_torn_line(path)
        state = verify(path) if path.exists() else Verdict(True, 0, FIRST)
        if not state.ok:
            raise RunError(
                f"the audit log {path} has been changed: {state.problem}",
                hint="`stop audit verify RUN` says where; it cannot be continued",
            )
        self.count, self.head = state.lines, state.head
        self._file = path.open("ab")
        self._seen: dict[tuple[str, str], int] = {}
        if torn:
            self.append("recovered", detail=f"{torn} bytes of a line torn by a crash were cut off")

    def security(self, event: SecurityEvent) -> bool:
        """Append an event; False when its kind floods this improver run and is only counted."""
        key = (event.improver_run, event.kind)
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] > MAX_EVENTS_PER_KIND:
            return False
        self.append(
            "security",
            event=event.kind,
            level=int(event.level),
            detail=event.detail[:_MAX_TEXT],
            program_id=event.program_id,
            improver_run=event.improver_run,
        )
        return True

    def append(self, kind: str, **body: Any) -> str:
        """Add one line; returns its hash."""
        line = {"seq": self.count, "time": round(time.time(), 6), "kind": kind, **body}
        line["previous"] = self.head
        line["hash"] = line_hash(line)
        try:
            self._file.write(_canonical(line) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(
                f"the audit log {self.path} cannot be written: {error.strerror}",
                hint="free some disk space, then: stop resume RUN",
            ) from error
        self.count += 1
        self.head = line["hash"]
        return self.head

    def close(self) -> None:
        for (improver_run, kind), count in self._seen.items():
            if count > MAX_EVENTS_PER_KIND:
                self.append("flood", event=kind, improver_run=improver_run, count=count)
        self._seen.clear()
        self._file.close()


def _canonical(line: dict[str, Any]) -> bytes:
    """Sorted keys, ASCII only: no newline or terminal escape of a guest gets through as itself."""
    return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def line_hash(line: dict[str, Any]) -> str:
    body = {key: value for key, value in line.items() if key != "hash"}
    return hashlib.sha256(_canonical(body)).hexdigest()


def _cut_torn_line(path: Path) -> int:
    """Cut what a crash left after the last newline; returns how many bytes."""
    data = path.read_bytes() if path.exists() else b""
    torn = len(data) - (data.rfind(b"\n") + 1)
    if torn:
        os.truncate(path, len(data) - torn)
    return torn


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, unverified; a torn last line is left out."""
    lines = []
    for text in path.read_bytes().split(b"\n"):
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict)]


def verify(path: Path, head: str | None = None) -> Verdict:
    """Check the chain from the first line to the last.

    Args:
        path: the log file.
        head: a hash noted earlier; it must be one of the chain's, or lines were cut off.
    """
    if not path.exists():
        return Verdict(False, 0, FIRST, "there is no audit log")
    previous, count, hashes = FIRST, 0, {FIRST}
    for number, text in enumerate(path.read_bytes().split(b"\n")):
        if not text:
            continue
        try:
            line = json.loads(text)
            good = line["seq"] == count and line["previous"] == previous
            good = good and line["hash"] == line_hash(line) and text == _canonical(line)
        except (ValueError, KeyError, TypeError):
            return Verdict(False, count, previous, f"line {number + 1} is not a line of a log")
        if not good:
            return Verdict(False, count, previous, f"line {number + 1} does not fit the chain")
        previous, count = line["hash"], count + 1
        hashes.add(previous)
    if head is not None and head not in hashes:
        return Verdict(False, count, previous, "lines are missing at the end: the head is gone")
    return Verdict(True, count, previous)
