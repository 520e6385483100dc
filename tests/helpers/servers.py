"""Model servers: one that counts, one that bills, and one in a process of its own, to be killed."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stop.testing.openai_server import Fault, OpenAIServer
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import GREEDY, SEED_IMPROVER, fenced

PROGRAMS = [
    GREEDY,
    GREEDY.replace("-values[i] / weights[i]", "-values[i]"),
    GREEDY.replace("-values[i] / weights[i]", "weights[i]"),
    "def algorithm(weights, values, capacity):\n    return []\n",
]
IMPROVERS = [f"{SEED_IMPROVER}# variant {i}\n" for i in range(3)]


class CountingServer:
    """Answers by the prompt and its seed alone, and counts the responses that it got rid of."""

    def __init__(self) -> None:
        self.served = 0
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(0.02)
                answer = json.dumps(owner.answer(body)).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    return  # the client has gone
                with owner._lock:
                    owner.served += body.get("n", 1)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def answer(self, body: dict) -> dict:
        prompt = body["messages"][-1]["content"]
        pool = IMPROVERS if "improve_algorithm" in prompt else PROGRAMS
        choices = []
        for i in range(body.get("n", 1)):
            text = f"{prompt}{body.get('seed')}{i}"
            number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
            message = {"role": "assistant", "content": fenced(pool[number % len(pool)])}
            choices.append({"index": i, "message": message, "finish_reason": "stop"})
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        return {"id": "x", "object": "chat.completion", "created": 0, "model": "counting",
                "choices": choices, "usage": usage}  # fmt: skip

    def words(self, backend: str) -> list[str]:
        """Return the command line of a run of two rounds on this server."""
        return [
            *("run", "--tasks", "knapsack,bin_packing", "--rounds", "2", "--repetitions", "2"),
            *("--calls", "2", "--responses", "3", "--accept", "always", "--seed", "7"),
            *("--final-repetitions", "0"),
            *("--lm", "openai:counting", "--base-url", self.url, "--sandbox", backend),
        ]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class BillingServer(OpenAIServer):
    """Adds up what it would charge for its answers, those without a choice included.

    Args:
        prices: US dollars for a million tokens, read and written.
        options: of `OpenAIServer`.

    Attributes:
        billed: US dollars so far.
    """

    def __init__(self, replies: list[str], *, prices: tuple[float, float], **options: Any) -> None:
        self.billed = 0.0
        self._prices = prices
        super().__init__(replies, **options)

    def answer(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        answer = super().answer(body, fault)
        usage, (read, written) = answer["usage"], self._prices
        with self.lock:
            self.billed += usage["prompt_tokens"] * read / 1e6
            self.billed += usage["completion_tokens"] * written / 1e6
        return answer


class ServerProcess:
    """A model server in a process of its own, to be killed and started again at one address."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "served"
        self.replies = folder / "replies.jsonl"
        self.replies.write_text(json.dumps(fenced(GREEDY)) + "\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = ["--port", str(self.port), "--replies", str(self.replies), "--log", str(self.log)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stop.testing.openai_server", *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == self.url

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    @property
    def served(self) -> int:
        """Responses that were sent."""
        return sum(int(line) for line in self.log.read_text().split())
