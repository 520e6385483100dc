"""Measures what the tape adds to a call of the language model, against a bare synced write.

    python benchmarks/tape.py [--repeat 500] [--kilobytes 4] [--folder DIR] [--json]

The model answers at once, so that only the tape is measured: budget, two durable writes (the
request before it is sent, the response before it is used), and the way back. All are measured in
turn, so that a busy machine slows them alike:

    synced write   the bytes of a response, written and synced, and nothing else
    without tape   the model alone
    recorded       a new response, asked for and kept
    found again    a response that is on the tape
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from stop.budget import Budget, Ledger
from stop.lm.base import LMRequest
from stop.lm.faults import FaultLog
from stop.lm.scripted import ScriptedLM
from stop.lm.tape import Tape, TapedModel
from stop.store import Store
from stop.store.faults import Faults


async def medians(folder: Path, repeat: int, size: int) -> dict[str, float]:
    """Returns the medians, in milliseconds."""
    text = "x" * size
    model = ScriptedLM([text])
    store = Store(folder / "run.db")
    tape = Tape(store, Ledger(Budget(usd=1e9)), b"secret", FaultLog(Faults(store)))
    bare = os.open(folder / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def taped() -> TapedModel:
        return TapedModel(
            model,
            tape,
            scope="task/0",
            improver_run="task/0/improver",
            max_responses=10**9,
            on_call=lambda *_: None,
        )

    recorder, reader = taped(), taped()

    async def synced_write(_: LMRequest) -> None:
        os.write(bare, text.encode())
        os.fsync(bare)

    works: dict[str, Callable[[LMRequest], Awaitable[object]]] = {
        "synced write": synced_write,
        "without tape": model.complete,
        "recorded": recorder.complete,
        "found again": reader.complete,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeat):
        request = LMRequest("You improve programs.", f"{number}\n{text}")
        for name, work in works.items():
            began = time.perf_counter()
            await work(request)
            times[name].append((time.perf_counter() - began) * 1000)
    store.close()
    os.close(bare)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=500)
    parser.add_argument("--kilobytes", type=int, default=4, help="of one response")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = asyncio.run(medians(Path(folder), options.repeat, options.kilobytes << 10))
    cost = found["recorded"] - found["without tape"]
    result = {"milliseconds": found, "tape": cost, "per_synced_write": cost / found["synced write"]}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, milliseconds in found.items():
        print(f"{name:<14} {milliseconds:8.3f} ms")
    ratio = result["per_synced_write"]
    print(f"the tape costs {cost:.3f} ms a call at the median, {ratio:.1f} synced writes")


if __name__ == "__main__":
    main()
