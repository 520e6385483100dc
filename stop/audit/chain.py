"""The format of the audit log, and the check that one was not changed.

    {"seq": 0, "time": …, "kind": …, …, "previous": "<hash of line -1>", "hash": …}

`hash` is the SHA-256 of the line's canonical JSON without it: an edited, swapped, added or removed
line breaks the chain. Whoever recomputes the chain meets the heads: at least every `SIGN_EVERY`
lines, at opening and at closing, a line of the kind "head" is signed with the key of the machine.
What remains is a log cut off behind one of its lines, or with other lines behind its last head.
That shows against a head noted elsewhere: the machine that signs notes one in the user's state
folder (`stop.audit.notes`), each session one in the run's store, and a user may note one.

`verify` reads about 50,000 lines a second, a line at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from stop.audit.keys import fingerprint, machine_fingerprint, signature_fits
from stop.audit.notes import Note, read_note
from stop.audit.plain import plain
from stop.errors import RunError

FIRST = "0" * 64
MAX_LINE = 64 * 1024
"""Bytes of a line with its newline; a longer one was not written by a log."""
SIGN_EVERY = 256
MAX_OPEN = 100_000
"""Effects at once without an outcome."""
FIXED = frozenset({"seq", "time", "kind", "previous", "hash"})
"""Keys of every line."""

_BLOCK = 1 << 20
"""Bytes that are read at once; more than `MAX_LINE`."""
_DOMAIN = b"STOP audit log, signed head, version 1\n"
_OF_INTENT = FIXED | {"effect"}
_MAX_ORPHAN_TEXT = 16 * 1024 * 1024
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
)


@dataclass(frozen=True, slots=True)
class Orphan:
    """An effect that began and has no outcome: going on, or cut off by a crash."""

    seq: int
    effect: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found.

    Attributes:
        ok: it was not changed, and was signed by a key that is trusted.
        lines: good lines from the first on.
        head: the hash of the last good line.
        problem: what is wrong; "" when nothing is.
        signed_lines: the number of lines that the last good signature covers.
        signer: the fingerprint of that signature's key.
        this_machine: it is the key of this machine.
        untrusted: chain and signatures fit, but the key, or one of the keys, is not trusted.
        orphans: effects without an outcome.
        lost: effects that a crash cut off, closed by the session after it.
    """

    ok: bool
    lines: int
    head: str
    problem: str = ""
    signed_lines: int = 0
    signer: str = ""
    this_machine: bool = False
    untrusted: bool = False
    orphans: tuple[Orphan, ...] = ()
    lost: int = 0


def canonical(line: dict[str, Any]) -> bytes:
    """Returns a line as JSON: sorted keys, ASCII only.

    No newline or terminal escape of a guest gets through as itself.
    """
    return _ENCODER.encode(line).encode("ascii")


def line_hash(line: dict[str, Any]) -> str:
    """Returns the SHA-256, in hex, of a line without its hash."""
    body = {key: value for key, value in line.items() if key != "hash"}
    return hashlib.sha256(canonical(body)).hexdigest()


def signed_message(line: dict[str, Any], log: str) -> bytes:
    """Returns what a head's signature covers: the line, thereby all before, and the log's id."""
    body = {key: value for key, value in line.items() if key not in ("hash", "signature")}
    return _DOMAIN + canonical({**body, "log": log})


def read(path: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """Yields the lines of a log, unverified, one at a time; a torn last line is left out.

    Args:
        path: the log file.
        kinds: lines of these kinds only; the others are passed at a gigabyte a second.

    Raises:
        RunError: it is not a regular file, or cannot be read.
    """
    words = [canonical({"kind": kind})[1:-1] for kind in kinds]
    with _opened(path) as file:
        for text in _lines_with(file, words) if words else _whole_lines(file):
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and _well_formed(line, kinds):
                yield line


_SECURITY = {"event": str, "detail": str, "source": str, "program_id": str, "improver_run": str}
"""What readers rely on in a line of the kind "security", besides its level."""


def _well_formed(line: dict[str, Any], kinds: tuple[str, ...]) -> bool:
    """Whether a log can have written the line; `verify` says where one did not."""
    kind = line.get("kind")
    if type(kind) is not str or (kinds and kind not in kinds):
        return False
    if type(line.get("time")) not in (int, float):
        return False
    if kind in ("quarantined", "counted"):
        return type(line.get("program_id")) is str
    if kind != "security":
        return True
    good = all(type(line.get(name)) is wanted for name, wanted in _SECURITY.items())
    return good and type(line.get("level")) is int and 0 <= line["level"] <= 3


def _opened(path: Path) -> BinaryIO:
    """A log to be read: a regular file, not a pipe or a device put in its place."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise RunError(f"the audit log {path} is not a regular file")
        return os.fdopen(file, "rb")
    except OSError as error:
        raise RunError(f"the audit log {path} cannot be read: {error.strerror}") from error


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of at most `MAX_LINE` bytes that may be objects and end in a newline."""
    fresh = True
    while text := file.readline(MAX_LINE):
        ended = text.endswith(b"\n")
        if ended and fresh and text.startswith(b"{"):
            yield text
        fresh = ended


def _lines_with(file: BinaryIO, words: Collection[bytes]) -> Iterator[bytes]:
    """Those of `_whole_lines` that hold one of `words`; what lies between is never taken apart."""
    pattern = re.compile(b"|".join(map(re.escape, words)))
    rest, too_long = b"", False
    while more := file.read(_BLOCK):
        block = rest + more
        end = block.rfind(b"\n") + 1
        if end == 0:  # longer than any line may be: nothing of it counts, up to its newline
            rest, too_long = b"", True
            continue
        at = block.find(b"\n") + 1 if too_long else 0
        rest, too_long = block[end:], False
        while (hit := pattern.search(block, at, end)) is not None:
            begin = block.rfind(b"\n", at, hit.start()) + 1 or at
            at = block.index(b"\n", hit.end()) + 1
            if at - begin <= MAX_LINE and block.startswith(b"{", begin):
                yield block[begin:at]


def verify(
    path: Path, head: str | None = None, keys: Collection[str] = (), *, run: str | None = None
) -> Verdict:
    """Checks the chain and its signatures from the first line to the last.

    Args:
        path: the log file.
        head: a hash noted earlier; it must be one of the chain's, or lines were cut off.
        keys: fingerprints that are trusted besides this machine's.
        run: the id of the run that it must belong to (`stop.audit.notes`), whose last head this
            machine remembers; None: a log by itself.

    Raises:
        RunError, ConfigError: the file, or this machine's key, cannot be read.
    """
    return check(path, [head] if head else [], keys, run=run).verdict(path)


def check(
    path: Path, heads: Collection[str] = (), keys: Collection[str] = (), *, run: str | None = None
) -> Reading:
    """Checks as `verify` does; returns also what a writer that goes on needs to know."""
    note = read_note(run) if run else None
    found = Reading(keys, run=run, note=note, missing={*heads, *([note.head] if note else [])})
    if not path.is_file():
        found.problem = "there is no audit log"
        return found
    with _opened(path) as file:
        while not found.problem and (text := file.readline(MAX_LINE)):
            offset = file.tell() - len(text)
            if not text.endswith(b"\n") and len(text) < MAX_LINE:
                time.sleep(0.05)  # a writer at work may be in the middle of it
                text += file.readline(MAX_LINE - len(text))
            found.take(text, offset)
    found.end()
    return found


@dataclass(slots=True)
class Reading:
    """What is known of a log after some of its lines. `missing` are heads that it must hold."""

    trusted: Collection[str]
    run: str | None = None
    note: Note | None = None
    missing: set[str] = field(default_factory=set)
    log: str = ""
    lines: int = 0
    head: str = FIRST
    problem: str = ""
    torn: int = 0
    signed_lines: int = 0
    signer: str = ""
    strangers: set[str] = field(default_factory=set)
    open: dict[int, tuple[int, str]] = field(default_factory=dict)
    lost: int = 0
    closed: bool = False
    this_machine: str | None = field(default_factory=machine_fingerprint)

    def take(self, text: bytes, offset: int) -> None:
        """Takes the next line, or says in `problem` what is wrong with it."""
        number = self.lines + 1
        if not text.endswith(b"\n"):
            self.torn = len(text) if len(text) < MAX_LINE else 0
            self.problem = f"line {number} is {'torn' if self.torn else 'not a line of a log'}"
            return
        try:
            line = json.loads(text[:-1].decode("ascii"))
            if canonical(line) != text[:-1]:
                raise ValueError("not written by a log")
            own, kind = line["hash"], line["kind"]
            fits = line["seq"] == self.lines and line["previous"] == self.head
            # The canonical text without its hash; where else the same hash stood, it would have
            # to be a hash of itself.
            rest = text[:-1].replace(b'"hash":"%b",' % own.encode(), b"", 1)
            fits = fits and hashlib.sha256(rest).hexdigest() == own
            self.problem = (
                self._problem_of(kind, line, offset) if fits else "does not fit the chain"
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.problem = "is not a line of a log"
        if self.problem:
            self.problem = f"line {number} {self.problem}"
            return
        self.lines, self.head = number, own
        self.missing.discard(own)

    def end(self) -> None:
        """Judges the whole, when no line is left."""
        if self.problem:
            return
        if self.missing and self.lines:
            self.problem = "lines are missing at the end, or were replaced: the head is gone"
        elif not self.lines:
            self.problem = "the log is empty"
        elif not self.signed_lines:
            self.problem = "the log is not signed"
        elif self.closed and self.signed_lines < self.lines:
            self.problem = "the end of the last session is not signed"
        elif self.run == "":
            self.problem = "the run's id, under which this machine remembers its log, is gone"
        elif self.run and self.note is None and self.signer == self.this_machine:
            self.problem = "this machine signed it and does not remember it: it is another run's"

    def forgive_torn(self) -> None:
        """Judges what is before a last line that a crash tore, and that will be cut off."""
        if self.torn:
            self.problem = ""
            self.end()

    def verdict(self, path: Path) -> Verdict:
        """Returns the verdict; the bodies of open effects are read from `path` again."""
        untrusted = bool(self.strangers) and not self.problem
        problem = self.problem
        if untrusted:
            names = ", ".join(sorted(self.strangers))
            problem = f"signed by another key than this machine's: {names}"
        return Verdict(
            ok=not problem,
            lines=self.lines,
            head=self.head,
            problem=problem,
            signed_lines=self.signed_lines,
            signer=self.signer,
            this_machine=bool(self.signer) and self.signer == self.this_machine,
            untrusted=untrusted,
            orphans=tuple(self._orphans(path)) if self.open else (),
            lost=self.lost,
        )

    def _problem_of(self, kind: Any, line: dict[str, Any], offset: int) -> str:
        """What a line means beyond its place in the chain; returns what is wrong with it."""
        if (self.lines == 0) != (kind == "log"):
            return "is not the beginning of a log" if self.lines == 0 else "begins another log"
        if kind == "head":
            return self._problem_of_head(line)
        if self.lines - self.signed_lines >= SIGN_EVERY:
            return "should be a signed head, and is not signed"
        self.closed = kind == "closed"
        if kind == "log":
            self.log = line["id"]
            if self.run is not None and line.get("run", "") != self.run:
                return "belongs to another run"
        elif kind == "intent":
            self.open[self.lines] = (offset, str(line["effect"])[:100])
            if len(self.open) > MAX_OPEN:
                return f"begins more than {MAX_OPEN} effects at once"
        elif kind == "outcome" and isinstance(line["of"], int):
            self.open.pop(line["of"], None)
            self.lost += line["status"] == "lost"
        return ""

    def _problem_of_head(self, line: dict[str, Any]) -> str:
        public_key, message = line["public_key"], signed_message(line, self.log)
        good = line["count"] == self.lines and line["head"] == self.head
        if not good or not signature_fits(public_key, line["signature"], message):
            since = f"a line from {self.signed_lines + 1} on was changed"
            return f"has a signature that does not fit: {since}"
        self.signer = fingerprint(bytes.fromhex(public_key))
        if self.signer not in (self.this_machine, *self.trusted):
            self.strangers.add(self.signer)
        self.signed_lines = self.lines + 1
        return ""

    def _orphans(self, path: Path) -> Iterator[Orphan]:
        """With their bodies, up to an amount of text that no honest log comes near."""
        budget = _MAX_ORPHAN_TEXT
        with path.open("rb") as file:
            for seq, (offset, effect) in self.open.items():
                body = {}
                if budget > 0:
                    file.seek(offset)
                    text = file.readline(MAX_LINE)
                    budget -= len(text)
                    line = plain(json.loads(text), text=MAX_LINE, size=MAX_LINE)
                    body = {key: line[key] for key in line if key not in _OF_INTENT}
                yield Orphan(seq, effect, body)
