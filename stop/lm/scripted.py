"""Replies that were written beforehand: `scripted:FILE`, for tests, demos and teaching."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stop.errors import ConfigError
from stop.lm.base import Choice, LMRequest, LMResponse, SimpleModel, Usage
from stop.lm.redact import valid_text

_BYTES_PER_TOKEN = 4


class ScriptedLM(SimpleModel):
    """Gives its replies in order, one for each choice, and begins again when they end.

    Replies are taken in the order in which `complete` is called, also when the calls run
    concurrently. Tokens are counted by a fixed rule (four bytes each) and cost nothing.

    Args:
        replies: at least one; lone surrogates in them are replaced.
        spec: how the user names this model.

    Attributes:
        requests: every request that was answered, in order.

    Raises:
        ConfigError: there are no replies, or a single string instead of a list.
    """

    def __init__(self, replies: Sequence[str], *, spec: str = "scripted:list") -> None:
        if isinstance(replies, str) or not replies:
            raise ConfigError("a scripted model needs a list with at least one reply")
        self._replies = tuple(valid_text(reply) for reply in replies)
        self.spec = spec
        self._lock = threading.Lock()
        self._next = itertools.cycle(self._replies)
        self.requests: list[LMRequest] = []

    @classmethod
    def from_file(cls, path: str | Path) -> ScriptedLM:
        """A model with the replies of a JSONL file. Raises as `read_replies`."""
        return cls(read_replies(path), spec=f"scripted:{path}")

    async def complete(self, request: LMRequest) -> LMResponse:
        with self._lock:  # no await before this: the order of calls is the order of replies
            texts = list(itertools.islice(self._next, request.n))
            self.requests.append(request)
        # As a server would have counted that stops at max_tokens: reservations stay upper bounds.
        completion = sum(min(_count(text), request.max_tokens) for text in texts)
        return LMResponse(
            choices=tuple(Choice(text) for text in texts),
            usage=_usage(request, completion),
            model="scripted",
        )

    def facts(self) -> dict[str, Any]:
        text = json.dumps(self._replies)
        return {"replies": len(self._replies), "sha256": hashlib.sha256(text.encode()).hexdigest()}

    def worst_case(self, request: LMRequest) -> Usage:
        return _usage(request, request.max_tokens * request.n)


def read_replies(path: str | Path) -> list[str]:
    """Read replies from a JSONL file: one JSON string on each line, blank lines ignored.

    Raises:
        ConfigError: the file cannot be read or holds no replies; a line at fault is named.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(
            f"cannot read the scripted replies in {path}: {error.strerror or error}",
            hint="scripted:FILE wants a text file with one JSON string on each line",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the scripted replies in {path} are not UTF-8 text") from error
    replies = [_reply(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    if not replies:
        raise ConfigError(f"{path} holds no replies", hint="one JSON string on each line")
    return replies


def _reply(line: str, place: str) -> str:
    try:
        reply = json.loads(line)
        if isinstance(reply, str):
            return reply
        problem = f"a {type(reply).__name__}, not a JSON string"
    except (ValueError, RecursionError) as error:
        problem = f"not JSON ({error})"
    hint = 'write each reply as a JSON string on one line, e.g. "def f():\\n    pass"'
    raise ConfigError(f"{place}: {problem}", hint=hint)


def _usage(request: LMRequest, completion_tokens: int) -> Usage:
    prompt_tokens = _count(request.system) + _count(request.message)
    return Usage(prompt_tokens, completion_tokens, usd=0.0, estimated=True)


def _count(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
