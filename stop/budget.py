"""Budgets: what an improver run and a whole run may spend, reserved before it is spent.

All accounting happens on the host, in one event loop: a reservation is a plain check and add, so
concurrent requests never pass a limit together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

from stop.errors import BudgetExceeded


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a whole run; None means no limit.

    Attributes:
        usd: money, US dollars.
        tokens: prompt and completion tokens together.
        lm_calls: requests of improvers to the language model.
        seconds: wall-clock time.
    """

    usd: float | None = None
    tokens: int | None = None
    lm_calls: int | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ImproverBudget:
    """What one improver run is allowed. The defaults are the paper's (PAPER: n = 6, m = 4).

    Attributes:
        lm_calls: calls of `language_model` (m).
        responses_per_call: most responses in one call (n).
        utility_calls: calls of `utility`; past it, utility returns 0.
        max_tokens: completion tokens of one response.
        cpu_seconds: CPU time of the improver itself, without what it waits for.
        seconds: wall-clock time, with everything it waits for.
    """

    lm_calls: int = 4
    responses_per_call: int = 6
    utility_calls: int = 25
    max_tokens: int = 1024
    cpu_seconds: float = 60.0
    seconds: float = 6 * 3600.0


@dataclass(slots=True)
class Spending:
    """What has been spent. `usd` stays None-free: unknown prices count as `usd_unknown_calls`."""

    lm_calls: int = 0
    responses: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    usd_unknown_calls: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Spending) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output: `usd` is None when any price is unknown."""
        return {
            "calls": self.lm_calls,
            "responses": self.responses,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": None if self.usd_unknown_calls else round(self.usd, 6),
        }


class Ledger:
    """The account of one run: `reserve` before a request, settle it with what it really cost."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = Spending()
        self._reserved = Spending()

    @contextmanager
    def reserve(self, worst: Spending) -> Iterator[Reservation]:
        """Hold `worst` while a request is under way; `BudgetExceeded` when it does not fit.

        What is settled inside the block stays spent; the rest of the reservation is released. A
        block that fails without settling has spent nothing.
        """
        self._check("lm_calls", self.spent.lm_calls + self._reserved.lm_calls, worst.lm_calls)
        self._check("tokens", self.spent.tokens + self._reserved.tokens, worst.tokens)
        self._check("usd", self.spent.usd + self._reserved.usd, worst.usd)
        self._reserved.add(worst)
        reservation = Reservation()
        try:
            yield reservation
        finally:
            self._reserved.add(_negative(worst))
            if reservation.actual is not None:
                self.spent.add(reservation.actual)

    def _check(self, resource: str, taken: float, wanted: float) -> None:
        limit = getattr(self.budget, resource)
        if limit is not None and taken + wanted > limit + 1e-9:
            raise BudgetExceeded(
                f"the run's budget of {resource} is used up: {taken:g} of {limit:g} are spent or "
                f"under way, and the next request may take {wanted:g}",
                resource=resource,
                hint=f"go on with more: stop resume RUN --max-{resource.replace('_', '-')} N",
            )


class Reservation:
    """Handed out by `Ledger.reserve`."""

    def __init__(self) -> None:
        self.actual: Spending | None = None

    def settle(self, actual: Spending) -> None:
        self.actual = actual


def _negative(amount: Spending) -> Spending:
    return Spending(*(-getattr(amount, each.name) for each in fields(amount)))
