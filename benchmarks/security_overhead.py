"""Measures what watching for attempts costs a warm evaluation, in one run.

    python benchmarks/security_overhead.py [--repeat 300] [--json]

The same evaluations (a program of two kilobytes, one instance of knapsack) run in turn in two warm
sandboxes:

    watched   as shipped: the filter that reports, the audit hook, canaries, the static rules, and
              intent and outcome of each evaluation in a hash-chained log
    bare      the same sandbox without hook and reporting filter (docker keeps its engine's filter,
              bubblewrap then has none), without rules and log: made here to compare, never shipped
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import stop.engine.evaluator
from stop.audit.guard import NO_GUARD, Guard
from stop.audit.log import AuditLog
from stop.engine.evaluator import Evaluator
from stop.errors import SandboxUnavailable
from stop.sandbox import guest as guest_module
from stop.sandbox import open_sandbox, seccomp
from stop.sandbox.pool import SandboxPool
from stop.tasks.task import load_task

PADDING = "".join(f"def helper_{i}(x):\n    return [x * {i} for _ in x]\n" for i in range(33))
PROGRAM = PADDING + "def algorithm(weights, values, capacity):\n    return []  # {}\n"


class LogGuard(Guard):
    """The log of a run, without the rest of the run."""

    def __init__(self, folder: Path) -> None:
        self.log = AuditLog(folder / "audit.jsonl")
        self.effect = self.log.effect  # type: ignore[method-assign]

    def refuses(self, program_id: str) -> bool:
        return False


def _unwatched() -> list[tuple[str, str]]:
    """Returns the guest's code, with a hook that is never installed."""
    modules = dict(guest_module._modules())
    child = modules["guest.child"]
    modules["guest.child"] = child.replace("    hooks.install(reports)\n", "")
    assert modules["guest.child"] != child
    return list(modules.items())


async def evaluator_of(backend: str, guard: Guard) -> Evaluator:
    sandbox = await open_sandbox(backend)
    return Evaluator(SandboxPool(sandbox, evaluations=1), b"benchmark", guard=guard)


async def measure(backend: str, repeat: int, folder: Path) -> dict[str, float]:
    """Returns the medians, in milliseconds."""
    task = load_task("knapsack").with_count("search", 1)
    guard = LogGuard(folder)
    watched = await evaluator_of(backend, guard)
    bare = await evaluator_of(backend, NO_GUARD)
    times: dict[str, list[float]] = {"watched": [], "bare": []}

    async def timed(name: str, evaluator: Evaluator, number: int) -> None:
        source = PROGRAM.replace("{}", f"{backend} {name} {number}")  # findings are cached by text
        began = time.perf_counter()
        result = await evaluator.evaluate(source, task, "search")
        times[name].append(time.perf_counter() - began)
        assert result.status == "ok", result

    def no_rules(_: str) -> tuple[()]:
        return ()

    modules = _unwatched()
    try:
        with (
            patch.object(guest_module, "_modules", lambda: modules),
            patch.object(seccomp, "compiled", list),
            patch.object(stop.engine.evaluator, "findings", no_rules),
        ):
            await timed("bare", bare, -1)  # starts its sandbox
        for i in range(repeat):
            await timed("watched", watched, i)
            with patch.object(stop.engine.evaluator, "findings", no_rules):
                await timed("bare", bare, i)
    finally:
        await watched.pool.aclose()
        await bare.pool.aclose()
        guard.log.close()
    medians = {name: 1e3 * statistics.median(values[5:]) for name, values in times.items()}
    pairs = zip(times["watched"][5:], times["bare"][6:], strict=False)
    return medians | {"difference": 1e3 * statistics.median(a - b for a, b in pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=300, help="evaluations of each sort")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for backend in ("docker", "bubblewrap"):
        try:
            with tempfile.TemporaryDirectory() as folder:
                results[backend] = asyncio.run(measure(backend, options.repeat, Path(folder)))
        except SandboxUnavailable as error:
            print(f"{backend}: {error.message}", file=sys.stderr)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for backend, found in results.items():
        ratio = found["watched"] / found["bare"]
        print(f"{backend:<11} watched {found['watched']:.2f} ms, bare {found['bare']:.2f} ms: "
              f"{found['difference']:+.2f} ms, {ratio:.2f} times")  # fmt: skip


if __name__ == "__main__":
    main()
