"""When a request is sent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from stop.lm import _clock
from stop.lm.remote.circuit import Circuit
from stop.lm.remote.pace import pause_after
from stop.lm.remote.wire import Failure

MAX_MALFORMED = 5  # answers without JSON after which none is expected any more

T = TypeVar("T")


async def persist(
    attempt: Callable[[], Awaitable[T | Failure]],
    *,
    circuit: Circuit,
    note: Callable[[Failure, float], None],
) -> T | Failure:
    """Return the outcome of `attempt`, tried again while it fails in a way that may pass.

    Failures are values here, not exceptions: an exception of the HTTP client that hangs on ours
    as context would carry the request, and with it the key, into tracebacks.

    Args:
        attempt: sends the request once.
        circuit: of the model. While the server is away it decides which request tries it, when, and
            when to give up; that time does not count as this request's.
        note: called with each failed attempt that another one follows, and with the seconds of
            the pause in between.
    """
    started = _clock.now()
    waited = 0.0
    failures = hopeless = 0

    async def through() -> T | Failure:
        arrived = _clock.now()

        async def counted() -> T | Failure:
            nonlocal waited
            waited += _clock.now() - arrived
            return await attempt()

        return await circuit.send(counted)

    while True:
        outcome = await through()
        if not isinstance(outcome, Failure) or not outcome.retry:
            return outcome
        failures += 1
        until_next = circuit.until_next if outcome.server else None
        if until_next is not None:  # all requests wait together, in the circuit
            note(outcome, until_next)
            continue
        hopeless += outcome.reason in ("malformed", "web page") and not outcome.server
        pause = pause_after(outcome, failures)
        left = circuit.patience_with(outcome.reason) - (_clock.now() - started - waited)
        if hopeless >= MAX_MALFORMED or pause >= left:
            return outcome
        note(outcome, pause)
        await _clock.pause(pause)
