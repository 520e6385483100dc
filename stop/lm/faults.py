"""What goes wrong with a model's server, noted while it happens.

    complete(request) ── fault, paid, cut, waiting, answered ──► listener()
                                                                    │ of the request under way
    FaultLog ◄── one CallLog for each request ◄─────────────────────┘
       ├──► FaultRecords: durable
       ├──► show: those who watch the run
       └──► silence: has the server answered since?

The listener is a context variable: it follows a request into the tasks that serve it, so that a
model need not know for whom it works, and a model of another make may say nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Protocol

from stop.errors import LMError, LMUnavailable
from stop.lm import _clock
from stop.lm.base import Usage, total_usage

SILENT_SECONDS = 10.0  # without an answer, from which on a server is called silent


@dataclass(frozen=True, slots=True)
class LMFault:
    """One attempt that brought no usable answer.

    Attributes:
        model: as the user named it.
        reason: "429", "500", "timeout", "connection", "malformed", …
        detail: the server's words, redacted.
        seconds: lost by it: the attempt, and the pause that followed.
        improver_run: for which it was made.
        at: when, in seconds since 1970.
    """

    model: str
    reason: str
    detail: str
    seconds: float
    improver_run: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is sent for a while.

    Attributes:
        model: as the user named it.
        reason: as in `LMFault`.
        seconds: until the next try.
        silent: seconds since the last answer.
        outage: the server is away; otherwise it only wants to be asked later.
    """

    model: str
    reason: str
    seconds: float
    silent: float
    outage: bool = True

    @property
    def text(self) -> str:
        """For people."""
        tries = f"next try in {self.seconds:.0f} s"
        if not self.outage:
            return f"the model server is busy ({self.reason}): {tries}"
        away = f"the model server does not answer ({self.reason}, for {self.silent:.0f} s)"
        return f"{away}: waiting, {tries}; Ctrl-C keeps everything, stop resume goes on"


class FaultRecords(Protocol):
    """Where faults and lost money are kept for good."""

    def add_fault(self, fault: LMFault) -> int:
        """Durable when this returns; a number for `end_request`."""
        ...

    def end_request(self, number: int) -> None:
        """This fault was the last of its request."""
        ...


@dataclass(slots=True)
class _Silence:
    """Of one model: nothing but faults since its last answer."""

    since: float
    last: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    shown: bool = False


Shown = Waiting | LMError | str
"""Requests wait; a request failed for good; the server answers again, in words."""


class FaultLog:
    """What goes wrong with the models of one run.

    Args:
        records: durable; None keeps nothing.
        show: called with what those who watch the run should see.
    """

    def __init__(
        self,
        records: FaultRecords | None = None,
        show: Callable[[Shown], None] = lambda _: None,
    ) -> None:
        self.records = records
        self.show = show
        self._silent: dict[str, _Silence] = {}

    def silence(self) -> str:
        """Return which model's server gives nothing but faults, and for how long, in words; "" when
        none does."""
        for model, silence in self._silent.items():
            seconds = _clock.now() - silence.since
            if seconds >= SILENT_SECONDS or silence.shown:
                return (
                    f"the server of {model} has not answered for {seconds:.0f} s "
                    f"({counted(silence.counts)}). Last: {silence.last}"
                )
        return ""

    def heard(self, fault: LMFault) -> None:
        """The server gave a fault and no answer."""
        silence = self._silent.setdefault(fault.model, _Silence(_clock.now()))
        silence.counts[fault.reason] += 1
        silence.last = fault.detail

    def waits(self, waiting: Waiting) -> None:
        if waiting.model in self._silent:
            self._silent[waiting.model].shown |= waiting.outage
        self.show(waiting)

    def answered(self, model: str) -> None:
        silence = self._silent.pop(model, None)
        if silence is not None and silence.shown:
            seconds = _clock.now() - silence.since
            self.show(f"the model server answers again after {seconds:.0f} s")


class CallLog:
    """Notes what happens to one request of one improver run. Made by `FaultLog.call`.

    Attributes:
        tracked: the model says of everything that is paid or cut, so silence means no cost.
        paid_for: the cost of each reply that came, one of several that the request may need.
        cut_off: the most that each attempt may have cost that was cut off while the server worked.
        widen: called with what the request may cost in all; raises `BudgetExceeded`.
    """

    def __init__(self, log: FaultLog, improver_run: str, model: str) -> None:
        self._log = log
        self._run = improver_run
        self._model = model
        self.tracked = False
        self.paid_for: list[Usage] = []
        self.cut_off: list[Usage] = []
        self.widen: Callable[[Usage], None] = lambda _: None
        self._last: int | None = None

    def fault(self, reason: str, detail: str, seconds: float, *, answered: bool = False) -> None:
        """Note that an attempt failed; whether another one follows is not said.

        Args:
            reason: as in `LMFault`.
            detail: the server's words, redacted.
            seconds: lost by it.
            answered: the server works, it only does not take this request as it is.
        """
        fault = LMFault(self._model, reason, detail, seconds, self._run, time.time())
        if not answered:
            self._log.heard(fault)
        if self._log.records is not None:
            self._last = self._log.records.add_fault(fault)

    def asks_again(self, rest: Usage) -> None:
        """What came is not all; asking for the rest may cost this.

        Raises:
            BudgetExceeded: there is no room for that besides what is paid.
        """
        self.widen(total_usage([*self.paid_for, rest]))

    def waiting(self, waiting: Waiting) -> None:
        """Nothing is sent for a while."""
        # The request is known under the user's name of the model, whatever serves it.
        self._log.waits(replace(waiting, model=self._model))

    def answered(self) -> None:
        """The server gave an answer, whatever it says."""
        self._log.answered(self._model)

    def failed(self, error: LMError) -> None:
        """The request failed for good: the last fault, or else `error` itself, ended it."""
        self._log.show(error)
        if self._last is None:
            kind = "unavailable" if isinstance(error, LMUnavailable) else "refused"
            self.fault(kind, error.message, 0.0, answered=True)
        if self._log.records is not None and self._last is not None:
            self._log.records.end_request(self._last)


_listener: ContextVar[CallLog | None] = ContextVar("stop_lm_listener", default=None)


def listener() -> CallLog:
    """Return the log of the request under way; what it is called with is lost without one."""
    return _listener.get() or CallLog(FaultLog(), "", "")


@contextmanager
def listening(log: CallLog) -> Iterator[None]:
    """Make `log` the log of the requests inside."""
    token = _listener.set(log)
    try:
        yield
    finally:
        _listener.reset(token)


def counted(counts: Counter[str]) -> str:
    """ "connection ×3, 503 ×1"."""
    return ", ".join(f"{reason} ×{count}" for reason, count in counts.items())
