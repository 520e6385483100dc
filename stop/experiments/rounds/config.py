"""The configuration of rounds of self-improvement, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from stop.budget import Budget, ImproverBudget
from stop.budget.limits import ResumeLimits, check_names, round_budget, run_budget
from stop.config import RunConfig

Accept = Literal["better", "always"]
Preset = Literal["quick", "paper"]


class RoundsConfig(RunConfig):
    """Rounds of self-improvement.

    Attributes:
        rounds: T.
        round_budget: of each round, round 0 included.
        improver: source text to begin with; None: the seed improver.
        preset: that the values came from, or "".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["run"] = "run"
    rounds: int = Field(default=6, ge=0, le=1000, description="Rounds, T.")
    accept: Accept = Field(
        default="better",
        description="better: only with a higher meta-utility in a paired comparison on the same "
        "instances; always: each improver that works, as in the paper.",
    )
    round_budget: Budget = Budget()
    improver: str | None = None
    preset: str = Field(
        default="",
        description="quick: knapsack, about ten minutes with the local model; paper: the paper's "
        "parameters.",
    )

    @property
    def _budgets(self) -> tuple[Budget, ...]:
        return (*super()._budgets, self.round_budget)

    @property
    def limits(self) -> dict[str, dict[str, float]]:
        return {"run": self.budget.limits, "round": self.round_budget.limits}

    def unlimited(self) -> Self:
        return self.changed(budget=Budget(), round_budget=Budget())

    def raised(self, limits: Mapping[str, Any]) -> Self:
        check_names(limits, ResumeLimits)
        return self.changed(
            budget=run_budget(limits, self.budget),
            round_budget=round_budget(limits, self.round_budget),
        )


PRESETS: dict[Preset, dict[str, Any]] = {
    # The defaults of arXiv 2310.02304: its main task, n = 6, m = 4, 5 repetitions, 6 iterations.
    "paper": {"tasks": ("parity_noise",), "rounds": 6, "repetitions": 5, "accept": "always"},
    # About ten minutes on two cores with the 1.5B local model.
    "quick": {
        "tasks": ("knapsack",),
        "rounds": 2,
        "repetitions": 1,
        "task_budget": ImproverBudget(
            lm_calls=1, responses_per_call=4, utility_calls=5, max_tokens=700
        ),
        "meta_budget": ImproverBudget(
            lm_calls=1, responses_per_call=2, utility_calls=3, max_tokens=900
        ),
    },
}
