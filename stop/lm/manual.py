"""A person answers: `manual:DIR`, one file for each request and one for each reply.

complete ──► DIR/0001.request.md ──► a person reads it, thinks, writes
         ◄── DIR/0001.reply.md   ◄── (n > 1: DIR/0001.1.reply.md, DIR/0001.2.reply.md, …)

Who answers, DIR/about.txt may say; it goes into the run's provenance.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from stop.errors import ConfigError, LMRequestRefused, LMUnavailable
from stop.lm import tokens
from stop.lm.base import Choice, LMRequest, LMResponse, SimpleModel, Usage
from stop.lm.redact import clean, valid_text

FIRST_POLL_SECONDS = 0.25
LAST_POLL_SECONDS = 2.0
ABOUT = "about.txt"
ABOUT_CHARACTERS = 500
_REQUEST_FILE = re.compile(r"(\d{4,})\.request\.md")
_FIRST_LINE = "<!-- stop request {} -->"
_log = logging.getLogger(__name__)


class ManualLM(SimpleModel):
    """Writes each request into a folder and waits, without limit, for its reply files.

    After a restart the replies that are there already are used: the k-th request with the same
    text and seed takes the k-th request file of these.

    Args:
        folder: made if it is missing.
        poll_seconds: between two looks at a reply file. By default 0.25 s, growing to 2 s.

    Raises:
        ConfigError: no folder is named.
    """

    def __init__(self, folder: str | Path, *, poll_seconds: float | None = None) -> None:
        if not str(folder):
            raise ConfigError("manual: needs a folder", hint="e.g. manual:answers")
        self._folder = Path(folder)
        self.spec = f"manual:{self._folder}"
        self._shortest = poll_seconds or FIRST_POLL_SECONDS
        self._longest = poll_seconds or LAST_POLL_SECONDS
        self._seen: Counter[str] = Counter()

    async def start(self) -> None:
        """Make the folder. Raises `LMUnavailable` where that is not possible."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LMUnavailable(
                f"cannot use the folder {self._folder}: {error.strerror or error}",
                hint="manual:DIR needs a folder that we may write to",
            ) from error

    async def complete(self, request: LMRequest) -> LMResponse:
        await self.start()
        number = self._number(request)
        paths = [self._folder / name for name in _reply_names(number, request.n)]
        texts = [await self._wait(path) for path in paths]
        written = sum(min(tokens.estimate_tokens(text), request.max_tokens) for text in texts)
        usage = replace(tokens.worst_case(request), completion_tokens=written)
        return LMResponse(tuple(Choice(text) for text in texts), usage, model="manual")

    def facts(self) -> dict[str, Any]:
        """`about`: who answers, as about.txt of the folder says it."""
        about = _one_line(self._folder / ABOUT)
        return {"about": about} if about else {}

    def worst_case(self, request: LMRequest) -> Usage:
        return tokens.worst_case(request)

    def _number(self, request: LMRequest) -> str:
        """The number of this request's file, which is written unless it was before."""
        text = f"{request.key}:{request.n}:{request.seed}"  # seeds tell equal requests apart
        identity = hashlib.sha256(text.encode()).hexdigest()
        self._seen[identity] += 1
        known = self._known(identity)
        if len(known) >= self._seen[identity]:
            number = known[self._seen[identity] - 1]
        else:
            number = self._write(request, identity)
        if not all((self._folder / name).exists() for name in _reply_names(number, request.n)):
            # A warning, so that it reaches a person who has not set up logging.
            _log.warning("A request waits for your reply: %s", self._path(number))
        return number

    def _known(self, identity: str) -> list[str]:
        """The numbers of the request files with this identity, in order."""
        found = []
        for number in self._numbers():
            with self._path(number).open(encoding="utf-8", errors="replace") as file:
                if file.readline().startswith(_FIRST_LINE.format(identity)):
                    found.append(number)
        return found

    def _write(self, request: LMRequest, identity: str) -> str:
        highest = max(map(int, self._numbers()), default=0)
        while True:
            highest += 1
            number = f"{highest:04d}"
            try:  # "x": another process may be writing into the same folder
                with self._path(number).open("x", encoding="utf-8") as file:
                    file.write(_request_text(request, identity, number))
            except FileExistsError:
                continue
            return number

    def _numbers(self) -> list[str]:
        """Those of all request files, in order."""
        names = (_REQUEST_FILE.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted((name.group(1) for name in names if name), key=int)

    def _path(self, number: str) -> Path:
        return self._folder / f"{number}.request.md"

    async def _wait(self, path: Path) -> str:
        """The text of a reply file, once it has something in it and has stopped growing."""
        pause = self._shortest
        last: tuple[int, int] | None = None
        while (state := _state(path)) is None or state != last:
            if state != last:
                pause = self._shortest
            last = state
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, self._longest)
        return _read(path)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file with something in it; equal twice in a row means: complete."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if stat.st_size else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise LMRequestRefused(
            f"the reply in {path} is not UTF-8 text", hint="save it as UTF-8 and resume the run"
        ) from None


def _one_line(path: Path) -> str:
    """The beginning of a text file on one line, "" where there is none."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(2 * ABOUT_CHARACTERS)
    except OSError:
        return ""
    return clean(text, limit=ABOUT_CHARACTERS)


def _reply_names(number: str, n: int) -> list[str]:
    if n == 1:
        return [f"{number}.reply.md"]
    return [f"{number}.{index}.reply.md" for index in range(1, n + 1)]


def _request_text(request: LMRequest, identity: str, number: str) -> str:
    names = _reply_names(number, request.n)
    files = ", ".join(f"`{name}`" for name in names)
    wanted = "One reply is" if request.n == 1 else f"{request.n} independent replies are"
    text = f"""{_FIRST_LINE.format(identity)}
# Request {number}

{wanted} wanted, each of at most {request.max_tokens} tokens (temperature {request.temperature}).

How to answer: write into this folder {files}, as UTF-8 text, without this header. The whole
file is the reply, as a language model would have written it; code goes into a fenced block. A
file is read once it is not empty and has stopped growing; to be safe, write it under another
name and rename it. The first line of this request must stay as it is: it lets a restarted run
find the replies again.

## System

{request.system}

## Message

{request.message}
"""
    return valid_text(text)
