"""The configuration of one application of an improver."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from stop.budget import ImproverBudget
from stop.config import RunConfig

_ONE_CALL = ImproverBudget(lm_calls=1, utility_calls=7)


class ImproveConfig(RunConfig):
    """One improver run on one task.

    Attributes:
        improver, program: source texts to begin with; None: the seed improver, the task's seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["improve"] = "improve"
    repetitions: int = 1
    task_budget: ImproverBudget = _ONE_CALL
    meta_budget: ImproverBudget = _ONE_CALL
    improver: str | None = None
    program: str | None = None
