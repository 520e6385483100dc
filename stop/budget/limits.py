"""Limits: what may be spent, and the names by which callers give it.

`max_usd`, `max_tokens`, ... are of the whole run, `round_max_usd`, ... of each round,
`improver_max_usd`, ... of each improver run.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, TypedDict

from annotated_types import Ge

from stop.errors import ConfigError

Amount = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(0)]
AtLeastOne = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a whole run, or of each of its rounds; None means no limit.

    Each field says what it counts, in the words of the command line. `seconds` are wall-clock time;
    a machine that sleeps does not count.
    """

    usd: Amount | None = field(default=None, metadata={"description": "US dollars"})
    tokens: Count | None = field(
        default=None, metadata={"description": "Tokens, read and written,"}
    )
    lm_calls: Count | None = field(default=None, metadata={"description": "LM requests"})
    seconds: Amount | None = field(default=None, metadata={"description": "Seconds of work"})
    responses: Count | None = field(default=None, metadata={"description": "LM responses"})
    prompt_tokens: Count | None = field(
        default=None, metadata={"description": "Tokens read by the model"}
    )
    completion_tokens: Count | None = field(
        default=None, metadata={"description": "Tokens written by the model"}
    )
    utility_calls: Count | None = field(
        default=None, metadata={"description": "Utility calls of all improvers"}
    )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def limits(self) -> dict[str, float]:
        """Those that are set, by resource."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}


@dataclass(frozen=True, slots=True)
class ImproverBudget:
    """What one improver run is allowed. The defaults are the paper's (PAPER: n = 6, m = 4).

    `tokens` and `usd` count the responses that it uses, also those that another improver paid for:
    so all improvers are allowed the same, and an improver run that is executed again is refused
    what it was refused before. A call that could pass one of the two is refused.
    """

    lm_calls: AtLeastOne = field(
        default=4, metadata={"description": "LM calls of one improver run, m."}
    )
    responses_per_call: AtLeastOne = field(
        default=6, metadata={"description": "Most responses of one LM call, n."}
    )
    utility_calls: AtLeastOne = field(
        default=25,
        metadata={
            "description": "Utility calls of one improver run; past it, utility returns 0. "
            "Defaults to n * m + 1."
        },
    )
    max_tokens: Annotated[int, Ge(16)] = field(
        default=1024, metadata={"description": "Tokens of one response."}
    )
    cpu_seconds: Amount = 60.0  # of the improver itself, without what it waits for
    seconds: Amount = 6 * 3600.0  # wall-clock time, with everything it waits for
    tokens: Count | None = field(
        default=None, metadata={"description": "Tokens, read and written,"}
    )
    usd: Amount | None = field(default=None, metadata={"description": "US dollars"})

    @property
    def of_responses(self) -> Budget:
        """The part that depends on what responses cost."""
        return Budget(usd=self.usd, tokens=self.tokens)


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


def run_budget(limits: Mapping[str, Any], base: Budget = Budget()) -> Budget:
    """The limits given on top of `base`."""
    return replace(_budget(base), **_given(limits, "max_"))


def round_budget(limits: Mapping[str, Any], base: Budget = Budget()) -> Budget:
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
