"""What a run and its rounds have spent, of their limits; read from its store."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from typing_extensions import TypedDict

from stop._util.documents import extended
from stop.budget import LMCost, Spending
from stop.config import RunConfig
from stop.store import Store
from stop.store.calls import call_totals
from stop.store.faults import FaultCount, Faults
from stop.store.payments import Payments


class Spent(TypedDict):
    """What was spent, by resource.

    Attributes:
        lm_calls: LM requests.
        responses: LM responses.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        tokens: both together.
        usd: US dollars; null when a price is not known.
        utility_calls: programs that improvers had scored.
        seconds: of work.
    """

    lm_calls: int
    responses: int
    prompt_tokens: int
    completion_tokens: int
    tokens: int
    usd: float | None
    utility_calls: int
    seconds: float


class RunSpending(TypedDict):
    """What was spent on a level, and its limits.

    Attributes:
        spent: by resource.
        limits: by resource; one that has no limit is left out.
    """

    spent: Spent
    limits: dict[str, int | float]


class RoundSpending(RunSpending):
    """What was spent in a round, and its limits.

    Attributes:
        spent: by resource.
        limits: by resource; one that has no limit is left out.
        round: its number.
    """

    round: int


class BudgetUse(TypedDict):
    """What was spent of the limits that were in force when the run was last worked on.

    Attributes:
        run: of the whole run.
        rounds: each round that has spent something.
        lost: requests without a response that may have been paid for, at their worst case.
    """

    run: RunSpending
    rounds: list[RoundSpending]
    lost: LMCost


class LevelCosts(TypedDict):
    """The cost by what was rewritten.

    Attributes:
        meta: rewriting improvers.
        task: rewriting solutions.
    """

    meta: LMCost
    task: LMCost


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost of the language model calls of a run.

    Seconds are added up over requests, also over those that ran at the same time.

    Attributes:
        run: its folder.
        total: the cost of all calls.
        levels: the same by level.
        budget: spent of limits.
        models: number of calls by model.
        retries: how many times a call was sent again.
        faults: attempts without a usable answer, by reason.
        requests_failed: requests that failed for good.
        seconds_lost: time of the attempts that failed.
        cut_off_responses: responses that ended at the token limit.
        estimated_calls: calls whose tokens the server did not count.
        seconds: time of all calls.
    """

    run: Path
    total: LMCost
    levels: LevelCosts
    budget: BudgetUse
    models: dict[str, int]
    retries: int
    faults: tuple[FaultCount, ...]
    requests_failed: int
    seconds_lost: float
    cut_off_responses: int
    estimated_calls: int
    seconds: float


def read_costs(store: Store, config: RunConfig) -> Costs:
    """Read the cost of a run's LM calls, by level and by model, and their faults."""
    calls, faults = call_totals(store), Faults(store).counts()
    return extended(
        Costs,
        calls,
        run=store.path.parent,
        total=store.spending().cost(),
        levels={"meta": store.spending("meta").cost(), "task": store.spending("task").cost()},
        budget=read_budget(store, config),
        faults=tuple(replace(each, seconds=round(each.seconds, 3)) for each in faults),
        requests_failed=sum(each.ended for each in faults),
        seconds_lost=round(sum(each.seconds for each in faults), 3),
        seconds=round(calls.seconds, 3),
    )


def read_budget(store: Store, config: RunConfig) -> BudgetUse:
    """Read what the run, and each round that has spent something, spent of its limits.

    Limits are those in force when the run was last worked on.
    """
    payments = Payments(store)
    noted = store.meta("limits")
    limits = config.limits if noted is None else json.loads(noted)

    def level(which: int | None, seconds: str, of: str) -> RunSpending:
        return {"spent": _spent(payments.spent(which), store.meta(seconds)), "limits": limits[of]}

    return {
        "run": level(None, "seconds", "run"),
        "rounds": [
            {"round": number, **level(number, f"seconds.round.{number}", "round")}
            for number in payments.rounds()
        ],
        "lost": payments.lost().cost(),
    }


def _spent(spent: Spending, seconds: str | None) -> Spent:
    found = {name: getattr(spent, name) for name in Spent.__annotations__ if name != "seconds"}
    found["usd"] = spent.cost()["usd"]
    return cast(Spent, found | {"seconds": round(float(seconds or 0), 3)})
