"""Limits as callers give them, by name, and the budgets that they come to.

`max_usd`, `max_tokens`, ... are of the whole run, `round_max_usd`, ... of each round,
`improver_max_usd`, ... of each improver run.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from stop.budget import Budget, ImproverBudget
from stop.errors import ConfigError


class RunLimits(TypedDict, total=False):
    """Limits of a whole run; see `stop.Budget` for what each counts."""

    max_usd: float | None
    max_tokens: int | None
    max_prompt_tokens: int | None
    max_completion_tokens: int | None
    max_lm_calls: int | None
    max_responses: int | None
    max_utility_calls: int | None
    max_seconds: float | None


class RoundLimits(TypedDict, total=False):
    """Limits of each round."""

    round_max_usd: float | None
    round_max_tokens: int | None
    round_max_lm_calls: int | None
    round_max_seconds: float | None


class ImproverLimits(TypedDict, total=False):
    """Limits of each improver run. They are part of what a run does, and stay."""

    improver_max_usd: float | None
    improver_max_tokens: int | None


class ResumeLimits(RunLimits, RoundLimits, total=False):
    """What may be raised when a run goes on."""


class OneRunLimits(RunLimits, ImproverLimits, total=False):
    """Limits of a run without rounds."""


class Limits(ResumeLimits, ImproverLimits, total=False):
    """All limits."""


IMPROVER_RUN = {
    "calls": "lm_calls",
    "responses": "responses_per_call",
    "utility_calls": "utility_calls",
    "max_response_tokens": "max_tokens",
}
"""Options of an improver run, and what they are in `ImproverBudget`."""


def check_names(limits: Mapping[str, Any], known: type) -> None:
    """Refuse limits that a caller gave by a name which is not one of a TypedDict's.

    Raises:
        ConfigError: names the first of them, and the likely one that was meant.
    """
    for name, value in limits.items():
        if name not in known.__annotations__ and value is not None:
            near = difflib.get_close_matches(name, known.__annotations__, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"there is no option {name!r} here{meant}")


def _budget(base: Budget) -> Budget:
    if not isinstance(base, Budget):
        raise ConfigError(
            f"a budget must be a Budget, not {base!r:.40}",
            hint="budget=stop.Budget(usd=2), or a limit by its name: max_usd=2",
        )
    return base


def run_budget(limits: Mapping[str, Any], base: Budget = Budget()) -> Budget:  # noqa: B008
    """The limits given on top of `base`."""
    return replace(_budget(base), **_given(limits, "max_"))


def round_budget(limits: Mapping[str, Any], base: Budget = Budget()) -> Budget:  # noqa: B008
    """The limits of a round given on top of `base`."""
    return replace(_budget(base), **_given(limits, "round_max_"))


def improver_budget(limits: Mapping[str, Any], base: ImproverBudget) -> ImproverBudget:
    """The limits of an improver run given on top of `base`."""
    return replace(base, **_given(limits, "improver_max_"))


def _given(limits: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in limits.items()
        if name.startswith(prefix) and value is not None
    }
