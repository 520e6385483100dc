"""Measures what a warm evaluation costs, against the two alternatives.

    python benchmarks/warm_evaluation.py [--repeat 200] [--json]

All are measured in turn, so that a busy machine slows them alike:

    warm        start, call, answer, end of a trivial program in a warm sandbox, as a caller waits
    python      a bare `python -c "import numpy"`, which protects nothing
    docker run  a fresh container of the same image that imports numpy (where an engine answers)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from stop.errors import SandboxUnavailable
from stop.sandbox import GuestLimits, Job, open_sandbox
from stop.sandbox.docker import connect, ensure_image
from stop.sandbox.image import ENVIRONMENT, PYTHON
from stop.sandbox.protocol import Guest

PROGRAM = "def algorithm(x):\n    return x + 1\n"


async def warm(guest: Guest) -> float:
    began = time.perf_counter()
    await guest.start(Job(PROGRAM, "algorithm"))
    answer = await guest.call((1,), cpu_seconds=1, wall_seconds=5)
    await guest.end()
    took = time.perf_counter() - began
    assert answer.value == 2, answer
    return took


def command(*words: str) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        return time.perf_counter() - began

    return run


def fresh_container() -> Callable[[], float] | None:
    """Returns what times `docker run` of the docker backend's image; None without docker."""
    if shutil.which("docker") is None:
        return None
    client = connect()
    image = ensure_image(client)
    client.close()
    options = [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
    words = ("docker", "run", "--rm", "--network", "none", *options, image, PYTHON)
    return command(*words, "-c", "import numpy")


async def measure(backend: str, repeat: int, slow: int) -> dict[str, float]:
    """Returns the medians, in milliseconds."""
    sandbox = await open_sandbox(backend)
    guest = await sandbox.start(GuestLimits())
    times: dict[str, list[float]] = {"warm": [], "warm, idle before": []}
    others = {"python": command(sys.executable, "-c", "import numpy")}
    if backend == "docker" and (container := fresh_container()):
        others["docker run"] = container
    try:
        for _ in range(10):
            await warm(guest)
        for i in range(repeat):
            times["warm"].append(await warm(guest))
            if i % (repeat // slow) == 0:
                for name, run in others.items():
                    times.setdefault(name, []).append(await asyncio.to_thread(run))
                await asyncio.sleep(0.05)
                times["warm, idle before"].append(await warm(guest))
    finally:
        await guest.aclose()
        await sandbox.aclose()
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=200, help="warm evaluations per backend")
    parser.add_argument("--slow", type=int, default=15, help="runs of each slow alternative")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for backend in ("docker", "bubblewrap"):
        try:
            medians = asyncio.run(measure(backend, options.repeat, options.slow))
        except SandboxUnavailable as error:
            print(f"{backend}: {error.message}", file=sys.stderr)
            continue
        results[backend] = {
            "median_ms": medians,
            "times_faster": {
                name: value / medians["warm"]
                for name, value in medians.items()
                if not name.startswith("warm")
            },
        }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for backend, result in results.items():
        print(backend)
        for name, value in result["median_ms"].items():
            ratio = result["times_faster"].get(name)
            note = f"   warm is {ratio:.1f} times faster" if ratio else ""
            print(f"  {name:<18} {value:8.2f} ms{note}")


if __name__ == "__main__":
    main()
