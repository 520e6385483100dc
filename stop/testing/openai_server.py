"""A small OpenAI-compatible server on the loopback, with scripted replies and faults to order.

    with OpenAIServer(["def f(): ..."], faults=[Fault.status(429, retry_after="1")]) as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url))

On its own: `python -m stop.testing.openai_server --port 8080 --replies FILE` (a JSONL file of
strings).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import socket
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from stop.testing.openai_faults import (
    Fault,
    Received,
    count_prompt_tokens,
    count_tokens,
    error_body,
    refused_url,
)

UsageStyle = Literal["full", "missing", "zero", "one choice", "negative", "huge", "text"]
Refusal = tuple[int, dict[str, Any]]
"""Status and error."""

__all__ = ["Fault", "OpenAIServer", "Received", "refused_url"]


@dataclass(eq=False)
class OpenAIServer:
    """Serves until closed; use it as a context manager.

    Args:
        replies: given in order, one for each choice, and from the start again; or a function that
            makes one out of the request's message.
        faults: one is taken for each chat request until none are left.
        key: the only key that is let in; None lets everyone in.
        models: the models there are; None takes every name.
        max_n: a larger `n` is refused, with llama.cpp's words.
        honours_n: False gives one choice whatever `n` says.
        usage: which token figures the answers carry.
        context_tokens: prompts of more tokens are refused with 400.
        refused: parameters that are refused with 400, as OpenAI words it.
        finish_reason: of every choice.
        port: to listen on; 0 takes a free one.
        log: a file to which each answer, once it is sent, adds a line: its number of choices.

    Attributes:
        received: every chat request, in order.
        counts: how often each kind of fault struck; "ok" counts the rest.
    """

    replies: Sequence[str] | Callable[[str], str] = ("ok",)
    _: KW_ONLY
    faults: Iterable[Fault] = ()
    key: str | None = None
    models: Sequence[str] | None = None
    max_n: int | None = None
    honours_n: bool = True
    usage: UsageStyle = "full"
    context_tokens: int | None = None
    refused: Collection[str] = ()
    finish_reason: str = "stop"
    port: int = 0
    log: Path | None = None

    def __post_init__(self) -> None:
        self.received: list[Received] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        replies = self.replies
        given = itertools.cycle(() if callable(replies) else replies)
        self._make = replies if callable(replies) else lambda _: next(given)
        self._faults: deque[Fault] = deque()
        self.add_faults(*self.faults)
        self._http = _HTTPServer(("127.0.0.1", self.port), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def add_faults(self, *faults: Fault) -> None:
        with self.lock:
            self._faults.extend(fault for fault in faults for _ in range(fault.count))

    def close(self) -> None:
        """Stop serving; requests under way are let go."""
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> OpenAIServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next_fault(self) -> Fault | None:
        with self.lock:
            fault = self._faults.popleft() if self._faults else None
            self.counts[fault.kind if fault else "ok"] += 1
            return fault

    def next_replies(self, n: int, message: str) -> list[str]:
        with self.lock:
            return [self._make(message) for _ in range(n)]

    def note(self, choices: int) -> None:
        """An answer was sent."""
        if self.log is not None:
            with self.lock, self.log.open("a") as file:
                file.write(f"{choices}\n")

    def refusal(self, body: dict[str, Any], authorization: str) -> Refusal | None:
        """Return status and error for a request that this server does not take."""
        if self.key is not None and authorization != f"Bearer {self.key}":
            return 401, error_body(
                f"Incorrect API key provided: {authorization[7:]}.", "invalid_api_key"
            )
        model = str(body.get("model"))
        if self.models is not None and model not in self.models:
            return 404, error_body(f"The model `{model}` does not exist.", "model_not_found")
        for name in sorted(body.keys() & self.refused):
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return 400, error_body(message, "unsupported_parameter", name)
        n = body.get("n", 1)
        if self.max_n is not None and n > self.max_n:
            words = f"Field 'n': Value must be between 1 <= value <= {self.max_n}, but got {n}"
            return 400, {"code": 400, "message": words, "type": "invalid_request_error"}
        if self.context_tokens is not None and count_prompt_tokens(body) > self.context_tokens:
            words = f"This model's maximum context length is {self.context_tokens} tokens."
            return 400, error_body(words, "context_length_exceeded", "messages")
        return None

    def answer(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        """A chat completion."""
        asked = int(body.get("n", 1)) if self.honours_n else 1
        if fault is not None and fault.kind == "fewer":
            asked = min(asked, fault.choices)
        message = str(body.get("messages", [{}])[-1].get("content"))
        texts: list[str | None] = list(self.next_replies(asked, message))
        if fault is not None and fault.kind in ("empty", "null"):
            texts = ["" if fault.kind == "empty" else None] * asked
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "finish_reason": self.finish_reason,
            }
            for index, text in enumerate(texts)
        ]
        result = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": str(body.get("model")),
            "choices": choices,
        }
        each = [count_tokens(text or "") + 1 for text in texts]
        figures: dict[str, tuple[Any, Any]] = {
            "full": (count_prompt_tokens(body), sum(each)),
            "zero": (0, 0),
            "one choice": (count_prompt_tokens(body), each[0] if each else 0),
            "negative": (-5, -1),
            "huge": (10**30, 10**30),
            "text": ("12", "many"),
        }
        if self.usage != "missing":
            prompt, completion = figures[self.usage]
            result["usage"] = {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": figures["full"][0] + figures["full"][1],
            }
        return result


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = False  # so that `server_close` waits for them
    owner: OpenAIServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to report."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _HTTPServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """The log of requests is `OpenAIServer.received`."""

    def do_GET(self) -> None:
        owner = self.server.owner
        if self.path.endswith("/models"):
            rows = [{"id": name, "object": "model"} for name in owner.models or ["any"]]
            self._send(200, json.dumps({"object": "list", "data": rows}))
        else:
            self._send(404, json.dumps({"error": error_body("no such page")}))

    def do_POST(self) -> None:
        owner = self.server.owner
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/tokenize":  # llama.cpp's
            text = str(json.loads(content)["content"])
            self._send(200, json.dumps({"tokens": list(range(count_tokens(text)))}))
            return
        if not self.path.endswith("/chat/completions"):
            self._send(404, json.dumps({"error": error_body(f"no such page: {self.path}")}))
            return
        body = json.loads(content)
        with owner.lock:
            owner.received.append(Received(body, dict(self.headers), self.path))
        fault = owner.next_fault()
        if fault is not None and self._strike(fault):
            return
        refusal = owner.refusal(body, self.headers.get("Authorization", ""))
        if refusal is not None:
            self._send(refusal[0], json.dumps({"error": refusal[1]}))
            return
        answer = owner.answer(body, fault)
        text = json.dumps(answer)
        if fault is not None and fault.kind == "malformed":
            text = text[: len(text) // 2]
        self._send(200, text, cut=fault is not None and fault.kind == "reset")
        owner.note(len(answer["choices"]))

    def _strike(self, fault: Fault) -> bool:
        """Whether the fault is the whole answer."""
        if fault.kind == "status":
            self._send(fault.code, json.dumps({"error": fault.error}), headers=fault.headers)
        elif fault.kind == "html":
            self._send(200, "<html><body>Welcome</body></html>", content_type="text/html")
        elif fault.kind == "refuse":
            self._break()
        elif fault.kind == "slow":
            self.server.owner.stopping.wait(fault.seconds)
            return False
        elif fault.kind == "trickle":
            self._trickle(fault.seconds)
        else:
            return False
        return True

    def _trickle(self, seconds: float) -> None:
        """A body that never comes to its end: blanks, which JSON allows."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.close_connection = True
        for _ in range(int(seconds / 0.05)):
            self.wfile.write(b" ")
            if self.server.owner.stopping.wait(0.05):
                return

    def _send(
        self,
        code: int,
        text: str,
        *,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
        cut: bool = False,
    ) -> None:
        content = text.encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._break()

    def _break(self) -> None:
        """End the connection with a reset instead of an orderly close."""
        self.close_connection = True
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    from stop.lm.scripted import read_replies  # noqa: PLC0415 - only for the command

    parser = argparse.ArgumentParser(prog="python -m stop.testing.openai_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--replies", required=True, help="JSONL file, one JSON string a line")
    parser.add_argument("--log", type=Path, help="add a line for each answer: its choices")
    options = parser.parse_args(arguments)
    replies = read_replies(options.replies)
    with OpenAIServer(replies, port=options.port, log=options.log) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
