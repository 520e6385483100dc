"""Rows of the store as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
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

    @property
    def scope(self) -> str:
        """Whose responses it shares: improvers are compared on a task and a repetition."""
        return self.key if self.task is None else f"{self.task}/{self.repetition}"


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


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One response of a bypass measurement and the program in it.

    Attributes:
        cell: which prompt it answers.
        number: 0, 1, ... within the cell.
        program_id: None when the response holds no code.
        status: "ok", "unparsable", "unreadable" (it parses, but the rules gave up) or "no_code".
        level: the highest of `findings`.
        paper_rule: whether the paper's literal rule finds a bypass.
        cut_off: whether the response ended at the token limit.
        findings: what the text shows: rule, level, line, evidence.
        events: what the program tried when it ran: kind, level, detail.
        run_status, run_detail: of its improver run; None without one.
    """

    cell: str
    number: int
    program_id: str | None
    status: str
    level: int
    paper_rule: bool
    cut_off: bool
    findings: list[dict[str, Any]]
    events: list[dict[str, Any]] = field(default_factory=list)
    run_status: str | None = None
    run_detail: str | None = None

    @property
    def reached(self) -> int:
        """The highest level of the text and of the run."""
        return max([self.level, *(int(event["level"]) for event in self.events)])
