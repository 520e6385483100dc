"""Measures what the audit log costs, against a bare synced write of the same bytes.

    python benchmarks/audit_log.py [--repeat 2000] [--lines 100000] [--folder DIR] [--json]

All are measured in turn, so that a busy machine slows them alike:

    synced write       the bytes of a line, written and synced, and nothing else
    intent + outcome   the two lines around every effect, written, not synced
    security event     one line, synced

It also measures how fast `verify` and `read` go through a long log.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stop.audit.log import AuditLog, read, verify
from stop.events import Level, SecurityEvent

LINE = b"x" * 420 + b"\n"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def pair(log: AuditLog) -> None:
    seq = log.intent("execute", program_id="a" * 64, task="knapsack", split="meta")
    log.outcome(seq, "ok", score=0.5, cpu_seconds=0.123)


def costs(folder: Path, repeat: int) -> dict[str, float]:
    """Returns the medians, in milliseconds."""
    log = AuditLog(folder / "costs.jsonl")
    bare = os.open(folder / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    event = SecurityEvent("sandbox_flag", Level.ATTEMPT, "use_sandbox=False", "a" * 64)

    def synced_write() -> None:
        os.write(bare, LINE)
        os.fsync(bare)

    def security() -> None:
        log.security(event)
        log.settle("")  # or the log would count a flood and write no more

    works: dict[str, Callable[[], object]] = {
        "synced write": synced_write,
        "intent + outcome": lambda: pair(log),
        "security event": security,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeat):
        for name, work in works.items():
            times[name].append(timed(work))
    log.close()
    os.close(bare)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def speeds(folder: Path, lines: int) -> dict[str, float]:
    """Returns the lines per second."""
    log = AuditLog(folder / "long.jsonl")
    while log.count < lines:
        pair(log)
    log.close()
    results = {}
    works: dict[str, Callable[[], object]] = {
        "verify": lambda: verify(log.path),
        "read": lambda: sum(1 for _ in read(log.path)),
        "read one kind": lambda: sum(1 for _ in read(log.path, "security")),
    }
    for name, work in works.items():
        results[name] = log.count / timed(work)
    assert verify(log.path).ok
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=100_000, help="of the long log")
    parser.add_argument("--folder", default=".", help="on the disk to measure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        os.environ["STOP_STATE_DIR"] = name  # a key of its own
        medians = costs(Path(name), options.repeat)
        per_second = speeds(Path(name), options.lines)
    bare = medians["synced write"]
    results: dict[str, Any] = {
        "median_ms": medians,
        "of_a_synced_write": {name: value / bare for name, value in medians.items()},
        "lines_per_second": per_second,
    }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, value in medians.items():
        print(f"{name:<18} {value:8.3f} ms   {value / bare:5.2f} of a synced write")
    for name, value in per_second.items():
        print(f"{name:<18} {value:8.0f} lines a second")


if __name__ == "__main__":
    main()
