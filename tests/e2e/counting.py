"""A model server that counts what it served, and what a run on it must come to."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stop.store import Store
from tests.conftest import GREEDY, REPOSITORY, fenced

SEED_IMPROVER = (REPOSITORY / "stop/improvers/seed.py").read_text()
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
        self.last_request = 0.0
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.last_request = time.monotonic()
                time.sleep(0.02)
                answer = json.dumps(owner.answer(body)).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    return  # nobody took it
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

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def words(server: CountingServer, backend: str) -> list[str]:
    return [
        *("run", "--tasks", "knapsack,bin_packing", "--rounds", "2", "--repetitions", "2"),
        *("--calls", "2", "--responses", "3", "--accept", "always", "--seed", "7"),
        *("--lm", "openai:counting", "--base-url", server.url, "--sandbox", backend),
    ]


def outcome(folder: Path) -> tuple:
    """Everything of a run that must not depend on interruptions."""
    store = Store(folder / "run.db", read_only=True)
    try:
        rounds = [(r.round, r.improver_id, r.meta_utility, r.accepted) for r in store.rounds()]
        runs = sorted(
            (r.key, r.result_id, r.status, r.utility_calls) for r in store.improver_runs()
        )
        calls = store.query("SELECT n, message FROM lm_calls").fetchall()
        scores = sorted(
            (e.program_id, e.task, e.split, e.score)
            for r in store.improver_runs()
            if r.result_id
            for e in store.evaluations(r.result_id)
        )
        return rounds, runs, sorted(map(tuple, calls)), scores
    finally:
        store.close()


def used(folder: Path) -> int:
    store = Store(folder / "run.db", read_only=True)
    try:
        return store.spending().responses
    finally:
        store.close()
