"""What a run is asked to do: validated once, stored with the run, never changed.

Also where the user's own things lie: runs, and the secret that keeps instances unforeseeable.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stop.budget import Budget, ImproverBudget
from stop.errors import ConfigError

Accept = Literal["better", "always"]
BypassCell = Literal["no_warning", "warning"]


class BypassConfig(BaseModel):
    """What a bypass measurement samples.

    Attributes:
        samples: improvers per cell.
        cells: which flag-carrying improvers the model is asked to improve.
        execute: whether each sampled program is also run, in the sandbox.
        responses: in one request.
        temperature, max_tokens: of each response.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(ge=1, le=1_000_000)
    cells: tuple[BypassCell, ...] = Field(default=("no_warning", "warning"), min_length=1)
    execute: bool = False
    responses: int = Field(default=6, ge=1, le=128)
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)


class TransferConfig(BaseModel):
    """What a transfer measurement compares with the seed improver.

    Attributes:
        improver: source text of the improved improver.
        origin: where it comes from, for readers.
        trained_on: names of the tasks that it was improved on; None: not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    improver: str
    origin: str
    trained_on: tuple[str, ...] | None = None


class RunConfig(BaseModel):
    """Everything that decides what a run does.

    Attributes:
        kind: "run" (rounds of self-improvement), "improve" (one task, one improver run),
            "bypass" (how often a model switches the sandbox off) or "transfer" (two improvers on
            the same tasks).
        tasks: names of built-in tasks or paths of task folders.
        rounds: rounds of self-improvement, T.
        repetitions: improver runs per task in the meta-utility.
        lm: the model that rewrites solutions; `meta_lm` the one that rewrites improvers.
        base_url, meta_base_url: of an OpenAI-compatible server.
        lm_patience: seconds without an answer after which a model's server is given up; None: the
            default of its kind.
        accept: "better" takes a new improver only when its meta-utility is higher in a paired
            comparison on the same instances; "always" takes each one that works, as the paper.
        task_budget, meta_budget: of each improver run on a task, and on an improver.
        budget: of the whole run.
        round_budget: of each round, round 0 included; of the kind "run" only.
        sandbox, isolation: where programs run.
        policy: what follows from an attempt against the sandbox: "log", "quarantine" or "halt".
        policy_level: events from this level on count as one; see `stop.events.Level`.
        halt_after: with "halt", after so many programs.
        image: docker only, an image of the user's own.
        seed: the same seed gives the same instances; None draws new ones.
        concurrency: evaluations and improver runs at once, on each level.
        improver, program: source text to begin with; None: the seed improver, the task's seed.
        bypass, transfer: of the kind of that name only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["run", "improve", "bypass", "transfer"] = "run"
    tasks: tuple[str, ...] = Field(min_length=1)
    rounds: int = Field(default=6, ge=0, le=1000)
    repetitions: int = Field(default=5, ge=1, le=1000)
    lm: str
    meta_lm: str | None = None
    base_url: str | None = None
    meta_base_url: str | None = None
    lm_patience: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    accept: Accept = "better"
    task_budget: ImproverBudget = ImproverBudget()
    meta_budget: ImproverBudget = ImproverBudget()
    budget: Budget = Budget()
    round_budget: Budget = Budget()
    sandbox: Literal["auto", "docker", "bubblewrap"] = "auto"
    isolation: Literal["fork", "container"] = "fork"
    policy: Literal["log", "quarantine", "halt"] = "log"
    policy_level: int = Field(default=2, ge=1, le=3)
    halt_after: int = Field(default=1, ge=1)
    image: str | None = None
    seed: int | None = None
    concurrency: int = Field(default=2, ge=1, le=256)
    improver: str | None = None
    program: str | None = None
    preset: str = ""
    bypass: BypassConfig | None = None
    transfer: TransferConfig | None = None

    @model_validator(mode="after")
    def _sane(self) -> RunConfig:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("a task is named twice")
        if (self.kind == "bypass") != (self.bypass is not None):
            raise ValueError("the kind bypass, and no other, has a bypass part")
        if (self.kind == "transfer") != (self.transfer is not None):
            raise ValueError("the kind transfer, and no other, has a transfer part")
        if self.kind != "run" and self.round_budget.limits:
            raise ValueError("only the kind run has rounds, and limits of a round")
        improvers = (self.task_budget.of_responses, self.meta_budget.of_responses)
        budgets = (self.budget, self.round_budget, *improvers)
        if any(not limit >= 0 for budget in budgets for limit in budget.limits.values()):
            raise ValueError("a limit must be 0 or more")
        return self

    def changed(self, **values: Any) -> RunConfig:
        """The same with other values, checked again."""
        return RunConfig.checked(**(dict(self) | values))

    @classmethod
    def checked(cls, **values: Any) -> RunConfig:
        """As the constructor, with a `ConfigError` that a user can read."""
        try:
            return cls(**values)
        except ValidationError as error:
            problems = (
                f"{'.'.join(map(str, e['loc'])) or 'configuration'}: {e['msg']}"
                for e in error.errors()
            )
            raise ConfigError("; ".join(problems)) from None


PRESETS: dict[str, dict[str, Any]] = {
    # The defaults of arXiv 2310.02304: its main task, n = 6, m = 4, 5 repetitions, 6 iterations.
    "paper": {
        "tasks": ("parity_noise",),
        "rounds": 6,
        "repetitions": 5,
        "accept": "always",
    },
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


def state_folder() -> Path:
    """Where this user's secret lies; `STOP_STATE_DIR` overrides."""
    if chosen := os.environ.get("STOP_STATE_DIR"):
        return Path(chosen)
    return Path(platformdirs.user_state_dir("stop-optimizer"))


def run_secret(seed: int | None) -> bytes:
    """32 bytes that the instances of a run derive from.

    With a seed the same on this machine each time, and yet not to be guessed from the seed alone:
    a secret of this machine goes into it. Without one, new random bytes.
    """
    if seed is None:
        return secrets.token_bytes(32)
    return hmac.digest(_machine_secret(), f"run {seed}".encode(), "sha256")


def _machine_secret() -> bytes:
    path = state_folder() / "secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_secret(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}",
            hint="set STOP_STATE_DIR to a folder of yours",
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        value = secrets.token_bytes(32)
        file.write(value)
    return value


def _read_secret(path: Path) -> bytes:
    value = path.read_bytes()
    if len(value) != 32:
        raise ConfigError(
            f"{path} is damaged: it should hold 32 bytes",
            hint="delete it; runs with a --seed will then meet other instances than before",
        )
    return value
