"""How long requests to a server pause: between each other, and after failures."""

from __future__ import annotations

import random

from stop.lm import _clock
from stop.lm.remote.wire import Failure

MOST_SECONDS = 60.0  # between two attempts


def pause_after(failure: Failure, number: int) -> float:
    """Seconds to wait after `failure`, the `number`-th in a row: growing, up to a minute, and never
    less than the server asks for; with jitter, since others were asked the same."""
    growing = min(2.0 ** min(number - 1, 6), MOST_SECONDS) * random.uniform(1.0, 1.25)
    return max(growing, asked_for(failure))


def asked_for(failure: Failure) -> float:
    """Seconds that the server wants us to wait, with jitter."""
    return (failure.retry_after or 0.0) * random.uniform(1.0, 1.05)


class Pace:
    """Spaces requests evenly over each minute, and sends none while the server wants quiet.

    Args:
        requests_per_minute: upper bound; None for no bound.
    """

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0

    def hold(self, seconds: float) -> None:
        """Send nothing for that time."""
        self._next = max(self._next, _clock.now() + seconds)

    async def wait(self) -> None:
        """Return when the next request may be sent."""
        now = _clock.now()
        start = max(now, self._next)
        if self._interval:
            self._next = start + self._interval
        if start > now:
            await _clock.pause(start - now)
