"""When a server is away: all requests wait together, and one at a time tries it.

closed ── THRESHOLD failures in a row, of any request ──► open
   ▲                                                        │ pause, one attempt, longer pause, …
   └──────── an attempt brings an answer ◄──────────────────┤
                                                            └─► patience is over: all give up
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeGuard, TypeVar

from stop.lm import _clock, faults
from stop.lm.remote.pace import asked_for, pause_after
from stop.lm.remote.wire import Failure

THRESHOLD = 3  # failures in a row that mean the server and not bad luck
FIRST_CONTACT_SECONDS = 30.0  # a server that was never there is not waited for as long

T = TypeVar("T")


class Circuit:
    """Lets the attempts of one model through, or makes them wait.

    Args:
        model: its name, for people.
        patience: seconds without an answer after which waiting ends.
        met_before: whether the server ever answered.
    """

    def __init__(self, model: str, patience: float, met_before: Callable[[], bool]) -> None:
        self._model = model
        self.patience = patience
        self._met_before = met_before
        self._counts: Counter[str] = Counter()
        self._since = 0.0
        self._outage: _Outage | None = None

    @property
    def until_next(self) -> float | None:
        """Seconds until the server is tried again, None unless it is away."""
        if self._outage is None:
            return None
        return max(self._outage.next_try - _clock.now(), 0.0)

    def time_left(self) -> float | None:
        """Seconds that an attempt may take during an outage, None unless there is one."""
        return None if self._outage is None else self._deadline - _clock.now()

    async def send(self, attempt: Callable[[], Awaitable[T | Failure]]) -> T | Failure:
        """Return the outcome of `attempt`, made at once, or when it is this request's turn to try,
        or when the server is back. After too long an outage it is not made: the `Failure` says so.
        """
        while (outage := self._outage) is not None:
            if await outage.turn():
                return await self._try(outage, attempt)
            if outage.verdict is not None:
                return outage.verdict
        return self._judge(await attempt())

    async def _try(
        self, outage: _Outage, attempt: Callable[[], Awaitable[T | Failure]]
    ) -> T | Failure:
        try:
            outcome = await attempt()
            if self._outage is not outage or not _away(outcome):
                return self._judge(outcome)
            self._count(outcome)
            return self._schedule(outage, outcome)
        finally:  # also when cancelled: another request takes over
            outage.trying = False
            outage.wake()

    def _judge(self, outcome: T | Failure) -> T | Failure:
        if not _away(outcome):
            self._counts.clear()
            self._close(None)
        elif self._outage is None:  # else it was sent before the outage, and says nothing new
            self._count(outcome)
            if self._counts.total() >= THRESHOLD:
                self._outage = _Outage()
                return self._schedule(self._outage, outcome)
        return outcome

    def _count(self, failure: Failure) -> None:
        if not self._counts:
            self._since = _clock.now()
        self._counts[failure.reason] += 1

    def _schedule(self, outage: _Outage, failure: Failure) -> Failure:
        now = _clock.now()
        left = self._deadline - now
        if left <= 0 or asked_for(failure) > left:
            return self._give_up(failure)
        # The last try is made when patience ends, not before.
        pause = min(pause_after(failure, self._counts.total()), left)
        outage.next_try = now + pause
        silent = now - self._since
        faults.listener().waiting(faults.Waiting(self._model, failure.reason, pause, silent))
        return failure

    def _give_up(self, failure: Failure) -> Failure:
        seconds = _clock.now() - self._since
        text = f"has not answered for {seconds:.0f} s ({faults.counted(self._counts)})"
        wanted = failure.retry_after or 0.0
        if wanted > self.patience:
            text += f" and asks to wait {wanted:.0f} s, more than our patience"
        verdict = replace(failure, retry=False, outage=text)
        self._counts.clear()
        self._close(verdict)
        return verdict

    def _close(self, verdict: Failure | None) -> None:
        outage, self._outage = self._outage, None
        if outage is not None:
            outage.over, outage.verdict = True, verdict
            outage.wake()

    def patience_with(self, reason: str) -> float:
        """Seconds over which a failure for this reason is tried again."""
        if reason == "connection" and not self._met_before():
            return min(self.patience, FIRST_CONTACT_SECONDS)
        return self.patience

    @property
    def _deadline(self) -> float:
        return self._since + min(map(self.patience_with, self._counts), default=self.patience)


def _away(outcome: object) -> TypeGuard[Failure]:
    return isinstance(outcome, Failure) and outcome.retry and outcome.server


class _Outage:
    """One time that the server is away; requests of that time wait here.

    Attributes:
        next_try: when an attempt may be made.
        trying: whether a request is on its way.
        over: whether the server is back, or given up.
        verdict: what all requests get when it is given up.
    """

    def __init__(self) -> None:
        self.next_try = 0.0
        self.verdict: Failure | None = None
        self.over = False
        self.trying = False
        self._changed = asyncio.Event()

    async def turn(self) -> bool:
        """True: it is the caller's turn to try; `trying` is set until it has. False: it is over."""
        while not self.over:
            left = None if self.trying else self.next_try - _clock.now()
            if left is not None and left <= 0:
                self.trying = True
                return True
            await _clock.wait(self._changed, left)
        return False

    def wake(self) -> None:
        """Have all who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()
