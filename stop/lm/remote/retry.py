"""When a request is sent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from stop.lm import _clock
from stop.lm.remote.circuit import Circuit
from stop.lm.remote.pace import Pace, pause_after
from stop.lm.remote.wire import Failure

MAX_MALFORMED = 5  # answers without JSON after which none is expected any more
LAST_TRY_SECONDS = 10.0  # that an attempt may take when patience is over

T = TypeVar("T")


async def persist(
    attempt: Callable[[float], Awaitable[T | Failure]],
    *,
    circuit: Circuit,
    pace: Pace,
    seconds: float,
    note: Callable[[Failure, float, float | None], None],
) -> T | Failure:
    """Return the outcome of `attempt`, tried again while it fails in a way that may pass.

    Failures are values here, not exceptions: an exception of the HTTP client that hangs on ours
    as context would carry the request, and with it the key, into tracebacks.

    Args:
        attempt: sends the request once; called with the seconds that it may take.
        circuit: of the model. While the server is away it decides which request tries it, when, and
            when to give up; that time does not count as this request's.
        pace: of the model.
        seconds: that an attempt may take, unless less patience is left.
        note: called with each attempt that failed, the seconds that it took, and those of the pause
            before the next one; None after the last.
    """
    started = began = arrived = _clock.now()
    waited = 0.0
    attempts = failures = hopeless = 0

    async def timed() -> T | Failure:
        nonlocal attempts, began, waited
        waited += _clock.now() - arrived
        await pace.wait()
        attempts += 1
        began = _clock.now()
        limit = seconds
        outage_left = circuit.time_left()
        if outage_left is not None:
            limit = min(limit, max(outage_left, LAST_TRY_SECONDS))
        elif failures:  # the first attempt may take its time; patience is about the others
            limit = min(limit, max(started + circuit.patience - began, 1.0))
        return await attempt(limit)

    while isinstance(outcome := await circuit.send(timed), Failure) and outcome.retry:
        took = _clock.now() - began
        pause = circuit.until_next if outcome.server else None
        together = pause is not None  # all requests wait in the circuit
        if pause is None:
            hopeless += outcome.reason in ("malformed", "web page") and not outcome.server
            pause = pause_after(outcome, failures + 1)
            left = circuit.patience_with(outcome.reason) - (_clock.now() - started - waited)
            if hopeless >= MAX_MALFORMED or pause >= left:
                break
        failures += 1
        note(outcome, took, pause)
        if not together:
            await _clock.pause(pause)
        arrived = _clock.now()
    # Who only waited while others tried in vain has nothing new to say.
    if isinstance(outcome, Failure) and attempts > failures:
        note(outcome, _clock.now() - began, None)
    return outcome
