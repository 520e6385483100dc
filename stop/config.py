"""What every run is asked to do: validated once, stored with the run, never changed.

Each kind of run adds its own part, see `stop.experiments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stop.budget import Budget, ImproverBudget
from stop.budget.limits import RunLimits, check_names, run_budget
from stop.errors import ConfigError
from stop.sandbox.protocol import Isolation, SandboxChoice

PolicyMode = Literal["log", "quarantine", "halt"]


class RunConfig(BaseModel):
    """What runs of all kinds have in common. Descriptions are those of the command line.

    Attributes:
        kind: names the kind of run, see `stop.experiments.kinds.KINDS`.
        version: of this list of fields.
        tasks: names of built-in tasks or paths of task folders.
        task_budget, meta_budget: of each improver run on a task, and on an improver.
        budget: of the whole run.
    """

    # Budgets are dataclasses, whose bounds hold only if instances are checked as well.
    model_config = ConfigDict(frozen=True, extra="ignore", revalidate_instances="always")

    kind: str
    version: Literal[3] = 3
    tasks: tuple[str, ...] = Field(min_length=1, description="Names or folders of tasks.")
    repetitions: int = Field(
        default=5, ge=1, le=1000, description="Improver runs per task in the meta-utility."
    )
    lm: str = Field(
        description="openai:MODEL, local:NAME, scripted:FILE, manual:DIR or tape:RUN. Defaults to "
        "the environment's OpenAI variables, else to a pulled local model."
    )
    base_url: str | None = Field(default=None, description="Of an OpenAI-compatible server.")
    meta_lm: str | None = Field(
        default=None, description="A model of its own for rewriting improvers."
    )
    meta_base_url: str | None = Field(default=None, description="Of the meta model's server.")
    lm_patience: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Seconds to wait for a model server that has stopped answering. Defaults to "
        "900, for a local model to 1800.",
    )
    task_budget: ImproverBudget = ImproverBudget()
    meta_budget: ImproverBudget = ImproverBudget()
    budget: Budget = Budget()
    sandbox: SandboxChoice = Field(
        default="auto",
        description="auto: docker if an engine answers, else bubblewrap. "
        "There is no way to do without a sandbox.",
    )
    isolation: Isolation = Field(
        default="fork",
        description="fork: each program is a fresh process of a warm sandbox; "
        "container: a fresh sandbox.",
    )
    image: str | None = Field(
        default=None, description="docker: your own image instead of this interpreter's."
    )
    policy: PolicyMode = Field(
        default="log",
        description="What follows from an attempt against the sandbox. quarantine: its program "
        "never executes again; halt: the run stops (exit code 6) until `stop resume --reason`.",
    )
    policy_level: int = Field(
        default=2,
        ge=1,
        le=3,
        description="Events from this level on count: 1 intent, 2 attempt, 3 tampering.",
    )
    halt_after: int = Field(
        default=1, ge=1, description="With halt: the number of programs that stops the run."
    )
    random_seed: int | None = Field(
        default=None,
        description="The same random seed gives the same instances on this machine.",
    )
    concurrency: int = Field(
        default=2,
        ge=1,
        le=256,
        description="Evaluations and improver runs at once, on each level.",
    )

    @model_validator(mode="after")
    def _checked_sense(self) -> Self:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("a task is named twice")
        return self

    @property
    def instances_of(self) -> str:
        """What the run's instances are for: runs with the same random seed share those of "run"."""
        return "run"

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """The tasks and those that a kind of run has besides; all are copied into its folder."""
        return self.tasks

    @property
    def reserve(self) -> Budget:
        """The part of the run's limits that is kept for what is done at its end."""
        return Budget()

    @property
    def _budgets(self) -> tuple[Budget, ...]:
        improvers = (self.task_budget.of_responses, self.meta_budget.of_responses)
        return (self.budget, *improvers)

    @property
    def limits(self) -> dict[str, dict[str, float]]:
        """The limits of the whole run and of each round, by resource."""
        return {"run": self.budget.limits, "round": {}}

    @property
    def limits_money(self) -> bool:
        """Whether any limit is one of money."""
        return any(budget.usd is not None for budget in self._budgets)

    def raised(self, limits: Mapping[str, Any]) -> Self:
        """The same with other limits, by name (`max_usd`, ...); None leaves a limit as it is.

        Raises:
            ConfigError: this kind of run has no such limit.
        """
        check_names(limits, RunLimits)
        return self.changed(budget=run_budget(limits, self.budget))

    def unlimited(self) -> Self:
        """The same without limits of the run and its rounds."""
        return self.changed(budget=Budget())

    def changed(self, **values: Any) -> Self:
        """The same with other values, checked again."""
        return self.checked(**(dict(self) | values))

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Validate values; as the constructor, with an error that a user can read.

        Raises:
            ConfigError: says in one sentence which value is wrong, or which name is unknown.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            problems = dict.fromkeys(map(_problem, error.errors()))  # two budgets, one mistake
            raise ConfigError("; ".join(problems)) from None


_OF_BUDGET = {
    "budget": "of the run",
    "round_budget": "of a round",
    "task_budget": "of an improver run",
    "meta_budget": "of an improver run",
}


def _problem(error: Any) -> str:
    place, *rest = map(str, error["loc"] or ("configuration",))
    name = " ".join([*rest, _OF_BUDGET[place]]) if place in _OF_BUDGET else ".".join([place, *rest])
    if error["type"] == "extra_forbidden":
        return f"there is no option {name!r}"
    if error["type"] == "greater_than_equal":
        return f"{name} must be at least {error['ctx']['ge']:g}, not {error['input']!r:.40}"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"
