"""What happens to the machine is no verdict on a program: sandboxes that others killed."""

from __future__ import annotations

import asyncio
import os
import signal

from stop.engine.evaluator import Evaluator
from stop.sandbox import open_sandbox
from stop.sandbox.docker import connect
from stop.sandbox.pool import SandboxPool
from stop.tasks.task import load_task

HONEST = "def algorithm(weights, values, capacity):\n    return []  # {}\n"


def _kill_from_outside(pool: SandboxPool) -> int:
    """Kill every idle sandbox of the pool as somebody else would; returns how many."""
    names = [guest.name for guest in pool._idle]
    for name in names:
        if name.startswith("bwrap-"):
            os.kill(int(name.removeprefix("bwrap-")), signal.SIGKILL)
        else:
            client = connect()
            client.containers.get(name).kill()
            client.close()
    return len(names)


async def test_sandboxes_that_others_killed_cost_no_program_its_score(backend_name: str) -> None:
    pool = SandboxPool(await open_sandbox(backend_name), evaluations=3)
    evaluator, task = Evaluator(pool, b"secret"), load_task("knapsack").with_count("search", 2)
    try:
        await pool.warm(3)
        before = await evaluator.evaluate(HONEST.format("before"), task, "search")
        assert _kill_from_outside(pool) == 3
        after = await asyncio.gather(
            *(evaluator.evaluate(HONEST.format(i), task, "search") for i in range(6))
        )
        assert {each.status for each in after} == {"ok"}
        assert {each.score for each in after} == {before.score}
    finally:
        await pool.aclose()
