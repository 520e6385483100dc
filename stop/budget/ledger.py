"""Budgets: what an improver run, a round and a whole run may spend, reserved before it is spent.

    request ─► reserve its worst case in the round and the run ─► model ─► settle what it cost
                  └─ does not fit: wait for what is under way, then BudgetExceeded

All accounting happens on the host, in one event loop: a reservation is a plain check and add over
all levels, without an await in between, so concurrent requests never pass a limit together.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from stop.budget.limits import Budget
from stop.budget.stopwatch import Stopwatch
from stop.errors import BudgetExceeded

_TOLERANCE = 1e-9  # of sums of money
_GO_ON = "go on with more"


class LMCost(TypedDict):
    """What calls of the language model cost.

    Attributes:
        calls: requests that were answered.
        responses: choices in the answers.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        usd: US dollars; null when any price is unknown.
    """

    calls: int
    responses: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


@dataclass(slots=True)
class Spending:
    """What has been spent. `usd` stays None-free: unknown prices count as `usd_unknown_calls`."""

    lm_calls: int = 0
    responses: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    usd_unknown_calls: int = 0
    utility_calls: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Spending) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def cost(self) -> LMCost:
        """Returns what the machine-readable output says of it."""
        return {
            "calls": self.lm_calls,
            "responses": self.responses,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": None if self.usd_unknown_calls else round(self.usd, 6),
        }

    def to_dict(self) -> dict[str, Any]:
        """As `cost`."""
        return dict(self.cost())


ONE_UTILITY_CALL = Spending(utility_calls=1)


class Reservation:
    """Handed out by `Account.reserve`: `worst` is held until its block ends."""

    def __init__(self, worst: Spending) -> None:
        self.worst = worst
        self.actual: Spending | None = None

    def settle(self, actual: Spending) -> None:
        """This much is spent; nothing of it comes back."""
        self.actual = actual


class _Short(NamedTuple):
    """Where a request does not fit."""

    account: Account
    resource: str
    limit: float
    taken: float
    wanted: float

    @property
    def passing(self) -> bool:
        """Whether it might fit once what is under way has cost less than it may."""
        spent = float(getattr(self.account.spent, self.resource))
        return spent + self.wanted <= self.limit + _TOLERANCE

    def error(self) -> BudgetExceeded:
        option = self.resource.replace("_", "-")
        return BudgetExceeded(
            f"the {self.account.level}'s budget of {self.resource} is used up: {self.taken:g} of "
            f"{self.limit:g} are spent or under way, and the next request may take "
            f"{self.wanted:g}",
            resource=self.resource,
            level=self.account.level,
            hint=self.account.hint,
            resume=self.account.resume and self.account.resume.format(option=option),
        )


class Share(NamedTuple):
    """How much of a limit is spent or under way: 1.0 is all of it."""

    level: str
    resource: str
    share: float


class Account:
    """What may be spent on one level: an improver run, a round, a run.

    Args:
        level: its name, for people.
        budget: its limits.
        above: the level that contains this one; what is spent here is spent there, too.
        spent: in earlier sessions; becomes the account's own.
        seconds: of earlier sessions.
        hint: what helps when it is used up.
        resume: options of `stop resume` that give more; `{option}` is the resource's option.
    """

    def __init__(
        self,
        level: str,
        budget: Budget,
        *,
        above: Account | None = None,
        spent: Spending | None = None,
        seconds: float = 0.0,
        hint: str = "",
        resume: str | None = None,
    ) -> None:
        self.level = level
        self.budget = budget
        self.spent = spent or Spending()
        self.watch = Stopwatch(seconds)
        self.hint = hint
        self.resume = resume
        self._chain: tuple[Account, ...] = (self, *(above._chain if above else ()))
        self._open: set[Reservation] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def reserved(self) -> Spending:
        """For what is under way here and below."""
        total = Spending()
        for reservation in self._open:
            total.add(reservation.worst)
        total.usd = math.fsum(each.worst.usd for each in self._open)
        return total

    @contextmanager
    def reserve(self, worst: Spending) -> Iterator[Reservation]:
        """Hold `worst`, here and above, while a request is under way.

        What is settled inside the block stays spent, also when the block fails; the rest of the
        reservation is released. A block that fails without settling has spent nothing.

        Raises:
            BudgetExceeded: it does not fit; nothing is held then.
        """
        if short := self._short(worst):
            raise short.error()
        reservation = Reservation(worst)
        for account in self._chain:
            account._open.add(reservation)
        try:
            yield reservation
        finally:
            for account in self._chain:
                account._open.remove(reservation)
                if reservation.actual is not None:
                    account.spent.add(reservation.actual)
                account._wake()

    def has_room(self, worst: Spending) -> bool:
        """Whether `worst` fits now."""
        return self._short(worst) is None

    async def room(self, worst: Spending) -> None:
        """Wait while `worst` fits only if what is under way costs less than it may.

        Raises:
            BudgetExceeded: it does not fit, whatever that costs.
        """
        while short := self._short(worst):
            if not short.passing:
                raise short.error()
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            short.account._waiting.append(changed)
            await changed

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():  # its owner may have been cancelled
                each.set_result(None)

    def _short(self, worst: Spending) -> _Short | None:
        """The first limit, from here upwards, that `worst` would pass."""
        found: _Short | None = None
        for account in self._chain:
            reserved = account.reserved
            for resource, limit in account.budget.limits.items():
                if resource == "seconds":
                    continue
                wanted = float(getattr(worst, resource))
                taken = getattr(account.spent, resource) + getattr(reserved, resource)
                if wanted and taken + wanted > limit + _TOLERANCE:
                    short = _Short(account, resource, limit, taken, wanted)
                    if not short.passing:
                        return short
                    found = found or short
        return found

    def shares(self) -> Iterator[Share]:
        """Of each limit, here and above."""
        for account in self._chain:
            reserved = account.reserved
            for resource, limit in account.budget.limits.items():
                if resource == "seconds":
                    taken = account.watch.seconds
                else:
                    taken = getattr(account.spent, resource) + getattr(reserved, resource)
                yield Share(account.level, resource, taken / limit if limit else 1.0)


class Ledger:
    """The accounts of one run: its own, and that of the round that is under way.

    Args:
        budget: of the run.
        spent: in earlier sessions.
        seconds: of earlier sessions.
    """

    def __init__(self, budget: Budget, spent: Spending | None = None, seconds: float = 0.0) -> None:
        self.run = Account(
            "run",
            budget,
            spent=spent,
            seconds=seconds,
            hint=_GO_ON,
            resume="--max-{option} N",
        )
        self.round: int | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._open_to_all = self.run
        self._account = self.run

    @property
    def spent(self) -> Spending:
        return self.run.spent

    @contextmanager
    def holding_back(self, reserve: Budget) -> Iterator[None]:
        """Keep a part of the run's limits, those of time excepted, from the work in this block."""
        kept: dict[str, Any] = {n: v for n, v in reserve.limits.items() if v and n != "seconds"}
        if not kept:
            yield
            return
        limits = self.run.budget.limits
        words = ", ".join(f"{amount:g} {name}".replace("_", " ") for name, amount in kept.items())
        self._account = self._open_to_all = Account(
            "run",
            Budget(**{name: limits[name] - amount for name, amount in kept.items()}),
            above=self.run,
            spent=replace(self.run.spent),
            hint=f"{_GO_ON} ({words} are kept for the final comparison)",
            resume=self.run.resume,
        )
        try:
            yield
        finally:
            self._account = self._open_to_all = self.run

    def begin_round(
        self, number: int, budget: Budget, spent: Spending | None = None, seconds: float = 0.0
    ) -> Account:
        """What is reserved from now on counts in this round as well; `spent` is in the run's."""
        self.round = number
        self._account = Account(
            f"round {number}",
            budget,
            above=self._open_to_all,
            spent=spent,
            seconds=seconds,
            hint=_GO_ON,
            resume="--round-max-{option} N",
        )
        return self._account

    def end_round(self) -> None:
        """What the round has under way settles in its account all the same."""
        self.round = None
        self._account = self._open_to_all

    @contextmanager
    def reserve(self, worst: Spending) -> Iterator[Reservation]:
        """As `Account.reserve`, in the round and the run."""
        try:
            with self._account.reserve(worst) as reservation:
                yield reservation
        finally:
            self.on_change()

    def widen(self, reservation: Reservation, total: Spending) -> None:
        """Hold so much in all for a request under way.

        Raises:
            BudgetExceeded: there is no room for what that adds; what is held stays.
        """
        held = reservation.worst
        more = Spending(
            prompt_tokens=max(total.prompt_tokens - held.prompt_tokens, 0),
            completion_tokens=max(total.completion_tokens - held.completion_tokens, 0),
            usd=max(total.usd - held.usd, 0.0),
        )
        if short := self._account._short(more):
            raise short.error()
        reservation.worst = replace(held)  # whoever handed it in has it still
        reservation.worst.add(more)

    def has_room(self, worst: Spending) -> bool:
        """Whether `worst` fits now. False: `room` waits for that."""
        return self._account.has_room(worst)

    async def room(self, worst: Spending) -> None:
        """As `Account.room`, in the round and the run."""
        await self._account.room(worst)

    def take_back(self, utility_calls: int, *, of_this_round: bool) -> None:
        """An improver run is executed again: the calls that it had made are made again."""
        for account in self._account._chain:
            if of_this_round or account.level == "run":
                account.spent.utility_calls -= utility_calls

    def tightest(self) -> Share | None:
        """The limit of which the largest share is spent or under way; None without limits."""
        return max(self._account.shares(), key=lambda each: each.share, default=None)
