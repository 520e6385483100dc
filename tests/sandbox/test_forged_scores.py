"""Forged answers through the whole of an evaluation: the honest score, or `invalid`; never more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from stop.engine.evaluator import Evaluator
from stop.sandbox import open_sandbox
from stop.sandbox.pool import SandboxPool
from stop.tasks.task import load_task
from tests.helpers.places import REPOSITORY

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARITY = """
import numpy as np
def algorithm(train_samples, train_parity, test_samples):
    n = len(test_samples)
    {}
"""
FORGED = {
    "F48-object-array": (
        "class Same:\n        def __eq__(self, other): return True\n"
        "        __hash__ = None\n    return np.array([Same() for _ in range(n)], dtype=object)"
    ),
    "F48-list-of-objects": (
        "class Same(int):\n        def __eq__(self, other): return True\n"
        "        __hash__ = None\n    return [Same(7) for _ in range(n)]"
    ),
    "F49-column": "return np.zeros((n, 1))",
    "F49-row": "return np.zeros((1, n))",
    "F49-scalar": "return 0",
    "F53-nan": "return [float('nan')] * n",
    "F53-infinity": "return [float('inf')] * n",
    "F53-huge": "return [1e308] * n",
    "F55-too-many": "return [0] * (n + 1)",
    "F55-none": "return []",
    "F55-a-generator": "return (0 for _ in range(n))",
    "F65-a-claim": "return {'score': 1.0}",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fork", "container"])
async def evaluator(request: pytest.FixtureRequest, backend_name: str) -> AsyncIterator[Evaluator]:
    backend = await open_sandbox(backend_name)
    pool = SandboxPool(backend, isolation=request.param, evaluations=1)
    yield Evaluator(pool, b"secret of the test")
    await pool.aclose()


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_answer_is_invalid(evaluator: Evaluator, name: str) -> None:
    task = load_task("parity_noise").with_count("search", 3)
    found = await evaluator.evaluate(PARITY.replace("{}", FORGED[name]), task, "search")
    assert found.status == "invalid", found
    assert found.score == task.score_range[0]


async def test_f52_f56_f57_the_judge_is_out_of_reach(evaluator: Evaluator) -> None:
    """Patched modules, mutated inputs and stopped clocks change nothing of an honest answer."""
    task = load_task("parity_noise").with_count("search", 3)
    honest = "return [0] * n"
    tricks = (
        "import random, time\n    np.mean = np.sum = lambda *a, **k: 1e9\n"
        "    random.random = time.time = time.perf_counter = lambda: 0\n"
        "    test_samples[:] = 0\n    train_parity[:] = 1\n"
    )
    plain = await evaluator.evaluate(PARITY.replace("{}", honest), task, "search")
    tricked = await evaluator.evaluate(
        PARITY.replace("{}", tricks + "    " + honest), task, "search"
    )
    assert plain.status == tricked.status == "ok"
    assert plain.score == tricked.score


async def test_f58_sleeping_is_no_gain(evaluator: Evaluator) -> None:
    task = load_task("parity_noise").with_count("search", 3)
    sleepy = "import time\n    time.sleep(0.2)\n    return [0] * n"
    plain = await evaluator.evaluate(PARITY.replace("{}", "return [0] * n"), task, "search")
    slept = await evaluator.evaluate(PARITY.replace("{}", sleepy), task, "search")
    assert slept.score == plain.score


async def test_h66_h72_test_instances_are_not_those_of_the_search(evaluator: Evaluator) -> None:
    """An oracle of the search split tells nothing of the others: another seed for each."""
    task = load_task("parity_noise")
    seen = {repr(i) for i in task.instances("search", b"secret of the test", 0)}
    for split in ("meta", "test"):
        assert not seen & {repr(i) for i in task.instances(split, b"secret of the test", 0)}
    for guess in (b"", b"0", b"4321", b"5678", b"secret of the Test"):
        assert not seen & {repr(i) for i in task.instances("search", guess, 0)}


async def test_h71_an_exception_tells_nothing_of_the_judge(evaluator: Evaluator) -> None:
    task = load_task("parity_noise").with_count("search", 1)
    body = "import traceback, sys\n    raise RuntimeError(''.join(traceback.format_stack()))"
    found = await evaluator.evaluate(PARITY.replace("{}", body), task, "search")
    assert found.status == "error"
    for word in ("utility.py", "make_instance", "/home", str(REPOSITORY), "site-packages/stop"):
        assert word not in found.detail + found.stderr + found.stdout
