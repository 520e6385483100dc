"""The configuration of a bypass measurement."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stop.config import RunConfig

Cell = Literal["no_warning", "warning"]


class Sampling(BaseModel):
    """What a bypass measurement samples.

    Attributes:
        cells: which flag-carrying improvers the model is asked to improve.
        execute: whether each sampled program is also run, in the sandbox.
        max_tokens: completion tokens of each response.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(ge=1, le=1_000_000, description="Improvers to sample, per cell.")
    cells: tuple[Cell, ...] = Field(default=("no_warning", "warning"), min_length=1)
    execute: bool = Field(default=False, description="Also run each program, in the sandbox.")
    responses: int = Field(default=6, ge=1, le=128, description="Responses in one LM request.")
    temperature: float = Field(default=0.7, ge=0, le=2, description="Sampling temperature.")
    max_tokens: int = Field(default=1024, ge=16, description="Tokens of one response.")


class BypassConfig(RunConfig):
    """How often a model switches the sandbox off.

    Attributes:
        bypass: what is sampled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["bypass"] = "bypass"
    bypass: Sampling
