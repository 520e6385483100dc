"""The tape: every response is on disk before anyone uses it, and found again on resume.

A scope is one place where improvers are compared: a task and a repetition, or a round. The n-th
time that an improver run makes the same request, it gets the scope's n-th response to it: recorded,
or asked for and paid now. So a run that goes on pays nothing twice, and improvers that ask the same
meet the same luck: their difference is not the model's sampling (common random numbers).
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from stop.budget import Ledger, Spending
from stop.errors import BudgetExceeded, LMError, LMRequestRefused
from stop.lm.base import Completer, LanguageModel, LMRequest, LMResponse, Usage, total_usage
from stop.lm.faults import CallLog, FaultLog, listening

T = TypeVar("T")
CallListener = Callable[[LMRequest, LMResponse | None], None]
"""Called with each request that is sent: before with None, afterwards with the response."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request is made, and its response kept.

    Attributes:
        scope: improver runs of one scope share responses.
        improver_run: the one that pays.
        request: what is asked.
        occurrence: how often the improver run asked the same before.
    """

    scope: str
    improver_run: str
    request: LMRequest
    occurrence: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells it apart from all other places of its run, whoever pays."""
        return self.scope, self.request.key, self.request.n, self.occurrence


class TapeRecords(Protocol):
    """Where responses are kept, by the key of their place.

    Also what requests under way may cost: one that a crash cut off may have been paid for.
    """

    def responses_paid(self, improver_run: str) -> int:
        """Responses that this improver run has paid for, in all its executions."""
        ...

    def recorded(self, place: Place) -> LMResponse | None:
        """The response of this place, if it was recorded."""
        ...

    def open_request(self, place: Place, *, in_round: int | None, worst: Spending) -> int:
        """Note that a request is about to be sent, in this round; return a number for
        `close_request`. Until it is recorded or closed, it counts as its worst case."""
        ...

    def close_request(self, number: int, cost: Spending | None) -> None:
        """There will be no response to record: the request cost `cost`; None: nothing."""
        ...

    def record(self, place: Place, response: LMResponse, *, started: float) -> None:
        """Keep a response for good; `started` in seconds since 1970. Durable when this returns."""
        ...


class Tape:
    """The tape of one run.

    Args:
        records: durable.
        ledger: the run's budget; `BudgetExceeded` is raised before anything is sent.
        secret: of the run: sampling seeds derive from it, so that runs are independent.
        faults: keeps what goes wrong with the models. By default nothing is kept.
    """

    def __init__(
        self,
        records: TapeRecords,
        ledger: Ledger,
        secret: bytes,
        faults: FaultLog | None = None,
    ) -> None:
        self.records = records
        self.faults = faults or FaultLog()
        self.secret = secret
        self.ledger = ledger
        self._locks: dict[tuple[str, str, int, int], asyncio.Lock] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    async def carry_out(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, which goes on when its caller is cancelled: a response that
        is paid for is recorded."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # asked of it, so that asyncio does not complain where none waits

    async def drain(self) -> None:
        """Wait for all responses under way: they are paid."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def aclose(self, seconds: float = 2.0) -> None:
        """Wait a little for responses under way, then give them up."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def lock(self, place: Place) -> asyncio.Lock:
        """The lock held while a response is fetched: the same request meanwhile waits for it."""
        return self._locks.setdefault(place.key, asyncio.Lock())


class TapedModel(Completer):
    """The `Completer` of an ordinary run: a language model behind its tape and budgets.

    It counts which request comes for which time: make a new one for each execution of an improver
    run.

    Args:
        model: asked for what the tape does not hold.
        tape: of the run.
        scope: where this improver run's responses are shared.
        improver_run: its key; noted with what it pays for.
        max_responses: most responses that this improver run may pay for, however often it is
            executed.
        on_call: called with real requests. By default nothing is.
    """

    def __init__(
        self,
        model: LanguageModel,
        tape: Tape,
        *,
        scope: str,
        improver_run: str,
        max_responses: int,
        on_call: CallListener = lambda _request, _response: None,
    ) -> None:
        self._model = model
        self._tape = tape
        self._scope = scope
        self._improver_run = improver_run
        self._left = max_responses - tape.records.responses_paid(improver_run)
        self._on_call = on_call
        self._occurrences: Counter[tuple[str, int]] = Counter()

    async def complete(self, request: LMRequest) -> LMResponse:
        """As `LanguageModel.complete`.

        Raises:
            BudgetExceeded: the request could pass a limit of the run.
            LMError: the model cannot answer.
        """
        tape, key = self._tape, request.key
        occurrence = self._occurrences[key, request.n]
        self._occurrences[key, request.n] += 1
        # The same request in the same place of a run samples the same way, if the server can.
        seed = sampling_seed(tape.secret, self._scope, key, occurrence)
        place = Place(self._scope, self._improver_run, replace(request, seed=seed), occurrence)
        while True:
            # Waits for room here, where waiting ends when the response is not wanted any more.
            if response := await tape.carry_out(self._fetch(place)):
                return response
            await tape.ledger.room(self._worst(request))

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of what `request` can cost."""
        return self._model.worst_case(request)

    async def _fetch(self, place: Place) -> LMResponse | None:
        """None: the budget has no room for it at the moment."""
        async with self._tape.lock(place):
            return self._tape.records.recorded(place) or await self._ask(place)

    async def _ask(self, place: Place) -> LMResponse | None:
        tape, request = self._tape, place.request
        self._check_context(request)
        if request.n > self._left:
            raise LMRequestRefused("this improver run has had all the responses it may pay for")
        worst = self._worst(request)
        if not tape.ledger.has_room(worst):
            return None
        with tape.ledger.reserve(worst) as reservation:
            started = time.time()
            number = tape.records.open_request(place, in_round=tape.ledger.round, worst=worst)
            self._left -= request.n
            call = CallLog(tape.faults, self._improver_run, self._model.spec)
            call.widen = lambda usage: tape.ledger.widen(reservation, _spending(request, usage))
            try:
                self._on_call(request, None)
                with listening(call):
                    response = await self._model.complete(request)
            except BaseException as error:
                if isinstance(error, LMError):
                    call.failed(error)
                cost = _cost_of_failure(error, call, request, worst)
                if cost is None:
                    self._left += request.n
                else:
                    reservation.settle(cost)
                tape.records.close_request(number, cost)
                raise
            reservation.settle(_spending(request, response.usage))
            tape.records.record(place, response, started=started)
        self._on_call(request, response)
        return response

    def _worst(self, request: LMRequest) -> Spending:
        return _spending(request, self._model.worst_case(request))

    def _check_context(self, request: LMRequest) -> None:
        room = self._model.context_tokens
        if room is None:
            return
        # A conservative count may be too high: only what cannot fit by any count is refused here.
        least = len(request.system + request.message) // 8 + min(request.max_tokens, 64)
        if least > room:
            raise LMRequestRefused(
                f"the prompt is too long for {self._model.spec}: it has room for {room} tokens"
            )


def sampling_seed(secret: bytes, scope: str, request_key: str, occurrence: int) -> int:
    """Return the sampling seed of a request in its place in a run, a number below 2**31."""
    text = f"lm\0{scope}\0{request_key}\0{occurrence}"
    return int.from_bytes(hmac.digest(secret, text.encode(), "sha256")[:4]) >> 1


def _cost_of_failure(
    error: BaseException, call: CallLog, request: LMRequest, worst: Spending
) -> Spending | None:
    """Return what a request without a response cost; None: nothing.

    Given up, cut off in the middle, or a bug: it may have been paid for, so it counts as the worst.
    A model that notes what it sends is believed: what came counts, and what was cut off at its
    worst, as far as that was reserved.
    """
    if call.tracked and isinstance(error, LMError | BudgetExceeded | asyncio.CancelledError):
        if not call.paid_for and not call.cut_off:
            return None
        paid = _spending(request, total_usage(call.paid_for))
        return _no_more(paid, _spending(request, total_usage(call.cut_off)), worst)
    if isinstance(error, LMError) and not error.cost_unknown:
        return None
    return worst


def _no_more(paid: Spending, cut: Spending, worst: Spending) -> Spending:
    """What came, and what was cut off as far as `worst` has room for it."""

    def together(name: str) -> Any:
        came, room = getattr(paid, name), getattr(worst, name)
        return came + min(getattr(cut, name), max(room - came, 0))

    sums = {name: together(name) for name in ("prompt_tokens", "completion_tokens", "usd")}
    unknown = max(paid.usd_unknown_calls, cut.usd_unknown_calls)
    return replace(paid, **sums, usd_unknown_calls=unknown)


def _spending(request: LMRequest, usage: Usage) -> Spending:
    return Spending(
        lm_calls=1,
        responses=request.n,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usd=usage.usd or 0.0,
        usd_unknown_calls=int(usage.usd is None),
    )
