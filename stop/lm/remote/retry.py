"""When a request is sent again, and how long we wait before that."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import tenacity

from stop.lm import _clock
from stop.lm.remote.wire import Failure

FIRST_CONTACT_SECONDS = 30.0  # a server that was never there is not waited for as long
MAX_MALFORMED = 5  # a server that answers no JSON so often never will
MOST_SECONDS = 60.0  # between two attempts

T = TypeVar("T")


class Gate(Protocol):
    """What an attempt passes through; see `stop.lm.remote.circuit.Circuit`."""

    async def send(self, attempt: Callable[[], Awaitable[T | Failure]]) -> T | Failure: ...

    @property
    def until_next(self) -> float | None:
        """Seconds until the server is tried again, None unless it is away."""
        ...


async def persist(
    attempt: Callable[[], Awaitable[T | Failure]],
    *,
    gate: Gate,
    patience: float,
    met_before: Callable[[], bool],
    note: Callable[[Failure, float], None],
) -> T | Failure:
    """The outcome of `attempt`, tried again while it fails in a way that may pass.

    Failures are values here, not exceptions: an exception of the HTTP client that hangs on ours
    as context would carry the request, and with it the key, into tracebacks.

    Args:
        attempt: sends the request once.
        gate: while the server is away, it decides who tries it, when, and when to give up.
        patience: seconds after which no new attempt starts; waiting for the server does not count.
        met_before: whether this server ever answered.
        note: told of each failed attempt that another one follows, with the pause in between.
    """
    started = _clock.now()
    waited = 0.0
    hopeless = 0

    async def through() -> T | Failure:
        nonlocal waited
        arrived = _clock.now()

        async def counted() -> T | Failure:
            nonlocal waited
            waited += _clock.now() - arrived
            return await attempt()

        return await gate.send(counted)

    def again(outcome: T | Failure) -> bool:
        return isinstance(outcome, Failure) and outcome.retry

    def wait(state: tenacity.RetryCallState) -> float:
        failure = _failure(state)
        if failure is None or (failure.server and gate.until_next is not None):
            return 0.0  # the gate waits
        return max(backoff(state.attempt_number), asked_for(failure))

    def stop(state: tenacity.RetryCallState) -> bool:
        nonlocal hopeless
        failure = _failure(state)
        if failure is None or (failure.server and gate.until_next is not None):
            return False
        hopeless += failure.reason in ("malformed", "web page") and not failure.server
        seconds = patience
        if failure.reason == "connection" and not met_before():
            seconds = min(patience, FIRST_CONTACT_SECONDS)
        spent = _clock.now() - started - waited
        return hopeless >= MAX_MALFORMED or spent + state.upcoming_sleep >= seconds

    def before_sleep(state: tenacity.RetryCallState) -> None:
        failure = _failure(state)
        if failure is not None:
            pause = gate.until_next if failure.server else None
            note(failure, state.upcoming_sleep if pause is None else pause)

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            await _clock.pause(seconds)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(again),
        wait=wait,
        stop=stop,
        sleep=sleep,
        before_sleep=before_sleep,
        retry_error_callback=_failure,
    )
    return await retrying(through)


def backoff(number: int) -> float:
    """Seconds to wait after that many failures in a row: growing, up to a minute, with jitter."""
    return min(2.0 ** min(number - 1, 6), MOST_SECONDS) * random.uniform(1.0, 1.25)


def asked_for(failure: Failure) -> float:
    """Seconds that the server wants us to wait, with jitter: others were told the same."""
    return (failure.retry_after or 0.0) * random.uniform(1.0, 1.05)


def _failure(state: tenacity.RetryCallState) -> Failure | None:
    if state.outcome is None or state.outcome.failed:
        return None
    result = state.outcome.result()
    return result if isinstance(result, Failure) else None


class Pace:
    """At most so many requests a minute, evenly spaced, and none while the server wants quiet."""

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0

    def hold(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._next = max(self._next, _clock.now() + seconds)

    async def wait(self) -> None:
        now = _clock.now()
        start = max(now, self._next)
        if self._interval:
            self._next = start + self._interval
        if start > now:
            await _clock.pause(start - now)
