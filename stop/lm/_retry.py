"""When a request is sent again, and how long we wait before that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from stop.lm._wire import Failure

FIRST_CONTACT_SECONDS = 30.0  # a server that was never there is not waited for as long
MAX_MALFORMED = 5  # a server that answers no JSON so often never will
_BACKOFF = tenacity.wait_exponential_jitter(initial=1, max=60, jitter=1)

T = TypeVar("T")


async def pause(seconds: float) -> None:
    """All waiting of the language models between requests goes through here; tests replace it."""
    await asyncio.sleep(seconds)


async def persist(
    attempt: Callable[[], Awaitable[T | Failure]],
    *,
    patience: float,
    met_before: Callable[[], bool],
    faults: list[str],
) -> T | Failure:
    """The outcome of `attempt`, tried again while it fails in a way that may pass.

    Failures are values here, not exceptions: an exception of the HTTP client that hangs on ours
    as context would carry the request, and with it the key, into tracebacks.

    Args:
        attempt: sends the request once.
        patience: seconds after which no new attempt starts.
        met_before: whether this server ever answered.
        faults: the reason of each failure that was followed by another attempt is appended.
    """
    malformed = 0

    def again(outcome: T | Failure) -> bool:
        return isinstance(outcome, Failure) and outcome.retry

    def wait(state: tenacity.RetryCallState) -> float:
        failure = _failure(state)
        if failure is not None and failure.retry_after is not None:
            return failure.retry_after
        return _BACKOFF(state)

    def stop(state: tenacity.RetryCallState) -> bool:
        nonlocal malformed
        failure = _failure(state)
        malformed += failure is not None and failure.reason == "malformed"
        seconds = patience
        if failure is not None and failure.reason == "connection" and not met_before():
            seconds = min(patience, FIRST_CONTACT_SECONDS)
        return malformed >= MAX_MALFORMED or tenacity.stop_before_delay(seconds)(state)

    def note(state: tenacity.RetryCallState) -> None:
        failure = _failure(state)
        if failure is not None:
            faults.append(failure.reason)

    async def sleep(seconds: float) -> None:
        await pause(seconds)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(again),
        wait=wait,
        stop=stop,
        sleep=sleep,
        before_sleep=note,
        retry_error_callback=_failure,
    )
    return await retrying(attempt)


def _failure(state: tenacity.RetryCallState) -> Failure | None:
    if state.outcome is None or state.outcome.failed:
        return None
    result = state.outcome.result()
    return result if isinstance(result, Failure) else None


class Pace:
    """At most so many requests a minute, evenly spaced."""

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        if not self._interval:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        self._next = start + self._interval
        if start > now:
            await pause(start - now)
