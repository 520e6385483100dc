"""Wall-clock time that work took, and a limit on it.

Counted in small steps with a clock that nobody sets, and no step counts for much more than it was
to take: a machine that sleeps, a process that stands still and a clock that jumps end nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

STEP = 1.0
"""Seconds between two looks at the clock."""
SLACK = 5.0
"""Seconds that a step may take longer, on a busy machine, and still count."""
SAVE_EVERY = 10
"""Steps between two savings: so much is forgotten at the most when the process is killed."""


class TimeUp(Exception):
    """The limit of `timed` was reached. For its caller, who knows what the limit is of."""


class Stopwatch:
    """Seconds of work so far.

    Args:
        seconds: of earlier sessions.
        clock: for tests; the default does not run while the machine sleeps, on Linux and macOS.
    """

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._last = clock()

    def start(self) -> None:
        """What was before does not count."""
        self._last = self._clock()

    def tick(self, step: float = STEP) -> None:
        """Count the time since the last tick, which was to be `step` seconds ago."""
        now = self._clock()
        self.seconds += min(max(0.0, now - self._last), step + SLACK)
        self._last = now


@asynccontextmanager
async def timed(
    watch: Stopwatch,
    limit: float | None = None,
    on_tick: Callable[[], None] = lambda: None,
    save: Callable[[float], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Run the block against `watch`; what it awaits is cancelled when `limit` is reached.

    Args:
        watch: counts on; it may hold the time of earlier sessions.
        limit: seconds that `watch` may come to; None: no limit.
        on_tick: called after each step.
        save: given the seconds from time to time, and at the end.

    Raises:
        TimeUp: the limit was reached.
    """
    watch.start()
    try:
        async with asyncio.timeout(None) as deadline:
            ticker = asyncio.create_task(_tick(watch, limit, deadline, on_tick, save))
            try:
                yield
            finally:
                ticker.cancel()
                (problem,) = await asyncio.gather(ticker, return_exceptions=True)
                watch.tick()
                save(watch.seconds)
                if isinstance(problem, Exception):  # it could not save
                    raise problem
    except TimeoutError:
        if deadline.expired():
            raise TimeUp from None
        raise


async def _tick(
    watch: Stopwatch,
    limit: float | None,
    deadline: asyncio.Timeout,
    on_tick: Callable[[], None],
    save: Callable[[float], None],
) -> None:
    steps = 0
    try:
        while limit is None or watch.seconds < limit:
            step = STEP if limit is None else min(STEP, limit - watch.seconds)
            await asyncio.sleep(step)
            watch.tick(step)
            on_tick()
            steps += 1
            if steps % SAVE_EVERY == 0:
                save(watch.seconds)
    except Exception:
        deadline.reschedule(asyncio.get_running_loop().time())  # nobody keeps the limit any more
        raise
    deadline.reschedule(asyncio.get_running_loop().time())
