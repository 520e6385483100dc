"""The tape: every response is on disk before anyone uses it, and found again on resume.

A recording model is made for one improver run. The n-th time that run makes the same request, it
gets its n-th recorded response; only what is not on the tape is asked of the model and paid.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from stop.budget import Ledger, Spending
from stop.errors import LMRequestRefused
from stop.lm.base import LanguageModel, LMRequest, LMResponse, Usage


class Tape(Protocol):
    """Where responses are kept."""

    def recorded(
        self, improver_run: str, request: LMRequest, occurrence: int
    ) -> LMResponse | None: ...

    def record(
        self,
        improver_run: str,
        request: LMRequest,
        occurrence: int,
        response: LMResponse,
        started: float,
    ) -> None: ...


class TapedModel:
    """A language model as one improver run uses it: recorded, and paid from the run's ledger.

    Args:
        model: asked for what the tape does not hold.
        tape: durable records.
        improver_run: key of the improver run.
        ledger: the run's budget; `BudgetExceeded` is raised before anything is sent.
        on_call: told (request, response or None) before and after each real request.
    """

    def __init__(
        self,
        model: LanguageModel,
        tape: Tape,
        improver_run: str,
        ledger: Ledger,
        on_call: Callable[[LMRequest, LMResponse | None], None],
    ) -> None:
        self._model = model
        self._tape = tape
        self._improver_run = improver_run
        self._ledger = ledger
        self._on_call = on_call
        self._occurrences: Counter[tuple[str, int]] = Counter()

    async def complete(self, request: LMRequest) -> LMResponse:
        """As `LanguageModel.complete`.

        Raises:
            BudgetExceeded: the request could pass a limit of the run.
            LMError: the model cannot answer.
        """
        slot = (request.key, request.n)
        occurrence = self._occurrences[slot]
        self._occurrences[slot] += 1
        found = self._tape.recorded(self._improver_run, request, occurrence)
        if found is not None:
            return found
        request = replace(request, seed=self._seed(request, occurrence))
        self._check_context(request)
        started = time.time()
        worst = _spending(request, self._model.worst_case(request))
        with self._ledger.reserve(worst) as reservation:
            self._on_call(request, None)
            response = await self._model.complete(request)
            reservation.settle(_spending(request, response.usage))
            self._tape.record(self._improver_run, request, occurrence, response, started)
        self._on_call(request, response)
        return response

    def _seed(self, request: LMRequest, occurrence: int) -> int:
        """The same request in the same place of the same run samples the same way, if it can."""
        text = f"{self._improver_run}\0{request.key}\0{occurrence}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

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


def _spending(request: LMRequest, usage: Usage) -> Spending:
    return Spending(
        lm_calls=1,
        responses=request.n,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usd=usage.usd or 0.0,
        usd_unknown_calls=int(usage.usd is None),
    )
