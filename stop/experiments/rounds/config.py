"""The configuration of rounds of self-improvement, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from stop._util.sequential import least_pairs
from stop.budget import Budget, ImproverBudget
from stop.budget.limits import ResumeLimits, check_names, round_budget, run_budget
from stop.config import RunConfig
from stop.engine.cells import BLOCK, MOST_ROUNDS

Accept = Literal["confirmed", "better", "always"]
Preset = Literal["quick", "paper"]

_RESERVED = 0.25
"""The largest share of a limit that is kept for the final comparison."""


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
    rounds: int = Field(default=6, ge=0, le=MOST_ROUNDS, description="Rounds, T.")
    accept: Accept = Field(
        default="confirmed",
        description="confirmed: only after a test on fresh cells, which candidates that do just "
        "as well pass, in any round, with a chance of at most --alpha; better: with a higher "
        "meta-utility on the cells that it was chosen on, so luck is taken for a gain; always: "
        "each improver that works, as in the paper.",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="confirmed: the chance that any round accepts an improver that does just as "
        "well.",
    )
    confirm_repetitions: int = Field(
        default=20,
        ge=1,
        le=BLOCK,
        description="confirmed: improver runs per task, of candidate and current improver each, "
        "at most; the test ends earlier where it can.",
    )
    final_repetitions: int = Field(
        default=20,
        ge=0,
        le=BLOCK,
        description="Improver runs per task, of the best and the first improver each, in the "
        "comparison at the end; 0: none, and no gain is claimed.",
    )
    holdout: tuple[str, ...] = Field(
        default=(),
        description="Names or folders of tasks for the comparison at the end only.",
    )
    round_budget: Budget = Budget()
    improver: str | None = None
    preset: str = Field(
        default="",
        description="quick: knapsack, ten to twenty minutes with the local model; paper: the "
        "paper's parameters.",
    )

    @model_validator(mode="after")
    def _can_be_confirmed(self) -> Self:
        if self.accept == "confirmed" and self.rounds:
            pairs = self.confirm_repetitions * len(self.tasks)
            least = least_pairs(self.alpha / self.rounds)
            if pairs < least:
                raise ValueError(
                    f"confirm_repetitions: {pairs} pairs of improver runs can never confirm a gain "
                    f"at the level of one of {self.rounds} rounds: at least {least} are needed "
                    "(repetitions times tasks), or fewer rounds"
                )
        if shared := set(self.tasks) & set(self.holdout):
            raise ValueError(f"holdout: {min(shared)} is one of the tasks")
        return self

    @property
    def all_tasks(self) -> tuple[str, ...]:
        return self.tasks + self.holdout

    @property
    def _budgets(self) -> tuple[Budget, ...]:
        return (*super()._budgets, self.round_budget)

    @property
    def limits(self) -> dict[str, dict[str, float]]:
        return {"run": self.budget.limits, "round": self.round_budget.limits}

    @property
    def reserve(self) -> Budget:
        """The part of the run's limits that is kept for the final comparison.

        A quarter of each, or all that the comparison can take where that is less.
        """
        if not self.rounds or not self.final_repetitions:
            return Budget()
        each, runs = self.task_budget, 2 * self.final_repetitions * len(self.all_tasks)
        responses = each.lm_calls * each.responses_per_call
        most = {
            "lm_calls": runs * each.lm_calls,
            "responses": runs * responses,
            "completion_tokens": runs * responses * each.max_tokens,
            "utility_calls": runs * each.utility_calls,
        }
        kept: dict[str, Any] = {}
        for name, limit in self.budget.limits.items():
            part = limit * _RESERVED
            whole = name not in ("usd", "seconds")
            kept[name] = min(int(part), most.get(name, int(part))) if whole else part
        return Budget(**kept)

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
    # Ten to twenty minutes on two cores with the 1.5B local model.
    "quick": {
        "tasks": ("knapsack",),
        "rounds": 2,
        "repetitions": 1,
        "confirm_repetitions": 8,
        "final_repetitions": 5,
        "task_budget": ImproverBudget(
            lm_calls=1, responses_per_call=4, utility_calls=5, max_tokens=700
        ),
        "meta_budget": ImproverBudget(
            lm_calls=1, responses_per_call=2, utility_calls=3, max_tokens=900
        ),
    },
}
