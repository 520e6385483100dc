"""What can go wrong between us and a model's server, as data for `OpenAIServer`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

FaultKind = Literal[
    "status", "reset", "refuse", "slow", "trickle", "malformed", "html", "fewer", "empty", "null"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request. `count` requests in a row suffer it.

    Kinds: "status" (an HTTP error), "reset" (the connection breaks within the body), "refuse" (it
    breaks before the answer), "slow" (`seconds` of silence), "trickle" (a byte now and then, for
    `seconds`), "malformed" (half a JSON body), "html" (a page with status 200), "fewer" (`choices`
    instead of n), "empty" and "null" (choices without text).
    """

    kind: FaultKind
    code: int = 500
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    choices: int = 1
    count: int = 1

    @classmethod
    def status(
        cls,
        code: int,
        message: str = "",
        *,
        retry_after: str | None = None,
        error_code: str | None = None,
        param: str | None = None,
        count: int = 1,
    ) -> Fault:
        """An HTTP error as OpenAI words it."""
        error = {"message": message, "type": "error", "code": error_code, "param": param}
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return cls("status", code=code, error=error, headers=headers, count=count)


@dataclass(frozen=True, slots=True)
class Received:
    """One chat request as it arrived."""

    body: dict[str, Any]
    headers: dict[str, str]
    path: str


@contextlib.contextmanager
def refused_url() -> Iterator[str]:
    """Give a base URL at which no server listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound, so that no other process gets it; not listening
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/v1"


def error_body(message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI words it."""
    return {"message": message, "type": "invalid_request_error", "code": code, "param": param}


def count_tokens(text: str) -> int:
    """Tokens of a text, by the server's rule: four bytes each."""
    return len(text.encode()) // 4


def count_prompt_tokens(body: dict[str, Any]) -> int:
    """Tokens of the prompt of a request, by the server's rule: four characters each."""
    return sum(len(str(message["content"])) for message in body["messages"]) // 4 + 1
