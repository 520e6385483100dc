"""Rows of the store as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["meta", "task"]


@dataclass(frozen=True, slots=True)
class ImproverRunRecord:
    """One application of an improver. `status` is "running" until it has ended."""

    key: str
    level: Level
    round: int | None
    task: str | None
    repetition: int | None
    improver_id: str
    initial_id: str
    result_id: str | None
    status: str
    detail: str
    utility_calls: int
    cpu_seconds: float
    stdout: str
    stderr: str
    started: float
    finished: float | None


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round; round 0 is the seed improver. Intervals are 95 %."""

    round: int
    improver_id: str | None
    parent_id: str | None
    meta_utility: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    accepted: bool
    status: str
    detail: str
    finished: float

    def to_dict(self) -> dict[str, Any]:
        """As in the machine-readable output."""
        interval = None if self.low is None else [self.low, self.high]
        change = (
            None if self.difference_low is None else [self.difference_low, self.difference_high]
        )
        return {
            "round": self.round,
            "improver_id": self.improver_id,
            "meta_utility": self.meta_utility,
            "interval": interval,
            "accepted": self.accepted,
            "status": self.status,
            "detail": self.detail,
            "parent_id": self.parent_id,
            "difference": self.difference,
            "difference_interval": change,
        }


@dataclass(frozen=True, slots=True)
class ProgramRecord:
    """A program and how it first came up."""

    id: str
    kind: str
    source: str
    created: float


@dataclass(frozen=True, slots=True)
class LMCallRecord:
    """One recorded request with its responses: the tape."""

    id: int
    improver_run: str
    model: str
    system: str
    message: str
    n: int
    temperature: float
    max_tokens: int
    choices: list[dict[str, str]]
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    estimated: bool
    retries: int
    faults: list[str]
    started: float
    finished: float
