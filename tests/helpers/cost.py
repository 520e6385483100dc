"""What a computation costs, in a unit that neither other work nor the machine's speed changes."""

from __future__ import annotations

import time
from collections.abc import Callable

TURNS = 100_000


def cost(work: Callable[[], object]) -> float:
    """Return the CPU time of `work()` as a multiple of a fixed loop's, measured around it.

    The loop takes about three milliseconds on a quiet machine of 2024; on a busy or slow one both
    take longer. A search that backtracks, or a quadratic one, is thousands of times dearer.
    """
    before = _seconds(_loop)
    spent = _seconds(work)
    return 2 * spent / (before + _seconds(_loop))


def _seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _loop() -> int:
    total = 0
    for i in range(TURNS):
        total += i
    return total
