"""The audit log of a run: append-only JSONL, owned by the host, with one writer.

`stop.audit.chain` says what a line is and how changes show. Two strengths of writing:

    append, security   synced to the disk, with all before it, when the call returns
    intent, outcome    handed to the kernel: they outlive this process however it ends, and are
                       synced by the next line that is (at most `SIGN_EVERY` lines later)
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stop.audit.chain import (
    FIXED,
    MAX_LINE,
    MAX_OPEN,
    SIGN_EVERY,
    Verdict,
    canonical,
    check,
    line_hash,
    read,
    signed_message,
    verify,
)
from stop.audit.disk import open_locked, sync_folder, write_all
from stop.audit.keys import machine_key, public_bytes
from stop.audit.notes import Note, read_note, write_note
from stop.audit.plain import plain
from stop.errors import RunError
from stop.events import SecurityEvent

__all__ = ["AuditLog", "Effect", "Verdict", "read", "verify"]

SIGN_SECONDS = 60.0
MAX_EVENTS_PER_KIND = 1000
"""Of one kind and source in one improver run: a flood is counted, its first events are kept.

By source, so that no words of a guest's own hook crowd out what host and kernel see.
"""
MAX_KINDS = 100
"""Of one source, counted each by itself in one improver run; a guest can make kinds up."""
_OTHER_KINDS = "other kinds"
_MAX_KIND = 100
_MAX_TEXT = 2000
_OWN_KINDS = frozenset({"log", "head", "intent", "outcome"})
_Line = tuple[str, dict[str, Any]]


class _End(NamedTuple):
    """Where the log ends. One value, so that no interrupt leaves half of it behind."""

    lines: int
    head: str
    size: int
    unsigned: int


@dataclass(slots=True)
class Effect:
    """An effect that goes on; what is set here is written with its outcome."""

    seq: int
    status: str = "ok"


class AuditLog:
    """The one writer of a log file.

    Opening checks the whole log, about 50,000 lines a second, cuts off a line that a crash tore,
    and closes the effects that it cut off with the outcome "lost".

    Args:
        path: the log file; made when there is none.
        head: a hash noted earlier; the log must hold it.
        run: the id of its run, under which this machine remembers where the log ends; None: a log
            by itself, of which nothing is remembered.

    Raises:
        RunError: another process writes it, it has been changed, or it cannot be written.
        ConfigError: this machine's key is damaged.
    """

    def __init__(self, path: Path, head: str | None = None, *, run: str | None = None) -> None:
        self.path = path.absolute()
        self._run = run
        self._key = machine_key()
        self._lock = threading.RLock()
        self._broken = ""
        self._open: set[int] = set()
        self._closed = False
        self._seen: dict[str, Counter[tuple[str, str]]] = {}
        self._signed_at = time.monotonic()
        if not path.exists() and (head is not None or (run and read_note(run))):
            raise _changed(path, "it is gone")
        self._file = open_locked(self.path)
        try:
            self._begin(head)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def count(self) -> int:
        """The number of lines so far."""
        return self._end.lines

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self._end.head

    # --- what callers write

    def append(self, kind: str, **body: Any) -> str:
        """Adds one line, syncs it, and returns its hash.

        Raises:
            RunError: it could not be written (nothing of it stays), or not be synced.
        """
        if kind in _OWN_KINDS:
            raise ValueError(f"lines of the kind {kind!r} are the log's own")
        with self._lock:
            self._write([(kind, body)], durable=True)
            return self._end.head

    def intent(self, effect: str, **body: Any) -> int:
        """Writes that an effect is about to happen.

        Returns:
            The number of the line, for `outcome`.

        Raises:
            RunError: more than `MAX_OPEN` effects are open, or it could not be written.
        """
        with self._lock:
            if len(self._open) >= MAX_OPEN:
                raise RunError(f"more than {MAX_OPEN} effects at once")
            seq = self._end.lines
            self._write([("intent", {"effect": effect, **body})])
            self._open.add(seq)
            return seq

    def outcome(self, seq: int, status: str, **body: Any) -> None:
        """Writes how an effect ended, once."""
        with self._lock:
            if seq not in self._open:
                raise ValueError(f"line {seq} is not an effect without an outcome")
            self._write([("outcome", {**body, "of": seq, "status": status})])
            self._open.discard(seq)

    @contextmanager
    def effect(self, effect: str, **body: Any) -> Iterator[Effect]:
        """Writes intent and outcome around a block.

        The outcome is "ok", a status set in the block, or the name of an exception's class.
        """
        going = Effect(self.intent(effect, **body))
        try:
            yield going
        except BaseException as error:
            going.status = type(error).__name__
            raise
        finally:
            self.outcome(going.seq, going.status)

    def security(self, event: SecurityEvent) -> bool:
        """Appends an event.

        Returns:
            False when its kind floods this improver run and it was only counted.
        """
        with self._lock:
            seen = self._seen.setdefault(event.improver_run, Counter())
            key = (event.source, event.kind[:_MAX_KIND])
            if key not in seen and sum(key[0] == source for source, _ in seen) >= MAX_KINDS:
                key = (event.source, _OTHER_KINDS)
            seen[key] += 1
            if seen[key] > MAX_EVENTS_PER_KIND:
                return False
            self.append(
                "security",
                event=event.kind,
                level=int(event.level),
                source=event.source,
                detail=event.detail,
                program_id=event.program_id,
                improver_run=event.improver_run,
            )
            return True

    def settle(self, improver_run: str) -> None:
        """Writes how many events the floods of an ended improver run had; forgets its counts."""
        with self._lock:
            about = {"improver_run": improver_run}
            floods: list[_Line] = [
                ("flood", {"event": kind, "source": source, "count": count, **about})
                for (source, kind), count in self._seen.pop(improver_run, Counter()).items()
                if count > MAX_EVENTS_PER_KIND
            ]
            if floods:
                self._write(floods, durable=True)

    def close(self) -> None:
        """Settles what is left, signs the end, lets go of the file. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            try:
                if not self._broken:
                    for improver_run in list(self._seen):
                        self.settle(improver_run)
                    self._write([], sign=True, durable=True)
            finally:
                self._closed, self._broken = True, "it is closed"
                os.close(self._file)

    # --- opening

    def _begin(self, head: str | None) -> None:
        size = os.fstat(self._file).st_size
        found = check(self.path, [head] if head else [], run=self._run)
        found.forgive_torn()
        lines: list[_Line] = []
        if found.torn == size and head is None and found.note is None:  # nothing is there yet
            self._id = secrets.token_hex(16)
            lines.append(("log", {"id": self._id, "format": 1, "run": self._run or ""}))
        else:
            self._accept(found.verdict(self.path))
            self._id = found.log
            why = {"status": "lost", "detail": "the process ended before it was done"}
            lines += (("outcome", {"of": seq, **why}) for seq in found.open)
        unsigned = found.lines - found.signed_lines
        if unsigned:
            detail = f"{unsigned} lines from line {found.signed_lines + 1} on were not signed yet"
            lines.append(("recovered", {"detail": detail}))
        self._end = _End(found.lines, found.head, size - found.torn, unsigned)
        if found.torn:
            self._cut_back()
            detail = f"{found.torn} bytes of a line torn by a crash were cut off"
            lines.append(("recovered", {"detail": detail}))
        self._write(lines, sign=True, durable=True)
        sync_folder(self.path.parent)

    def _accept(self, verdict: Verdict) -> None:
        if verdict.untrusted:
            raise RunError(
                f"the audit log {self.path} was {verdict.problem}",
                hint="go on with it on the machine where it was made",
            )
        if not verdict.ok:
            raise _changed(self.path, verdict.problem)

    # --- writing

    def _write(self, lines: Iterable[_Line], *, sign: bool = False, durable: bool = False) -> None:
        """Add lines, and heads where they are due, in one write: all of them or none."""
        self._check_usable()
        end, texts = self._end, []
        for kind, body in lines:
            text, end = _link(end, kind, body)
            texts.append(text)
            if end.unsigned >= SIGN_EVERY:
                text, end = self._signed(end)
                texts.append(text)
        if sign or time.monotonic() - self._signed_at >= SIGN_SECONDS:
            text, end = self._signed(end)
            texts.append(text)
        signed = end.unsigned == 0
        try:
            write_all(self._file, b"".join(texts))
            self._end = end
        except OSError as error:
            self._cut_back()
            raise self._refused("written", error, "free some disk space") from error
        except BaseException:
            self._cut_back()
            raise
        if signed:
            self._signed_at = time.monotonic()
        if durable or signed:
            self._sync()
        if signed and self._run:
            write_note(self._run, Note(self._id, end.lines, end.head))

    def _signed(self, end: _End) -> tuple[bytes, _End]:
        body = {
            "count": end.lines,
            "head": end.head,
            "public_key": public_bytes(self._key).hex(),
        }
        line = _line(end, "head", body)
        line["signature"] = self._key.sign(signed_message(line, self._id)).hex()
        text, end = _hashed(line, end)
        return text, end._replace(unsigned=0)

    def _check_usable(self) -> None:
        """Checks that the file is the one that was opened, and as long as it was left."""
        if self._broken:
            raise RunError(f"the audit log {self.path} cannot be written: {self._broken}")
        try:
            there = self.path.lstat()
        except OSError as error:
            raise _changed(self.path, f"it is gone ({error.strerror})") from error
        mine = os.fstat(self._file)
        if (there.st_ino, there.st_dev) != (mine.st_ino, mine.st_dev):
            raise _changed(self.path, "another file lies in its place")
        if mine.st_size != self._end.size:
            raise _changed(self.path, "another process wrote to it")

    def _cut_back(self) -> None:
        """Take back what a failed write left."""
        try:
            os.ftruncate(self._file, self._end.size)
        except OSError as error:
            self._broken = f"half a line could not be taken back ({error.strerror})"

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            # The kernel may have dropped what it could not write, and a second sync would succeed
            # without it: from here on nothing is certain.
            self._broken = f"a sync failed before ({error.strerror})"
            raise self._refused("synced to the disk", error, "check the disk") from error

    def _refused(self, what: str, error: OSError, remedy: str) -> RunError:
        message = f"the audit log {self.path} cannot be {what}: {error.strerror}"
        return RunError(message, hint=f"{remedy}, then go on", resume="")


def _changed(path: Path, problem: str) -> RunError:
    return RunError(
        f"the audit log {path} has been changed: {problem}",
        hint=f"`stop audit verify {path.parent}` says where; it cannot be continued",
    )


# --- lines


def _link(end: _End, kind: str, body: dict[str, Any]) -> tuple[bytes, _End]:
    """One more line, what is too long in it cut off."""
    return _hashed(_line(end, kind, plain(body, text=_MAX_TEXT, size=MAX_LINE // 2)), end)


def _line(end: _End, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    if not FIXED.isdisjoint(body):
        raise ValueError(f"every line has these keys already: {sorted(FIXED & body.keys())}")
    now = round(time.time(), 6)
    return {"seq": end.lines, "time": now, "kind": kind, "previous": end.head, **body}


def _hashed(line: dict[str, Any], end: _End) -> tuple[bytes, _End]:
    line["hash"] = line_hash(line)
    text = canonical(line) + b"\n"
    return text, _End(end.lines + 1, line["hash"], end.size + len(text), end.unsigned + 1)
