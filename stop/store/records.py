"""Rows of the store as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stop.tasks.evaluation import Cause

RunLevel = Literal["meta", "task"]
"""What an improver run rewrites: an improver, or a program of a task."""


@dataclass(frozen=True, slots=True)
class ImproverRunRecord:
    """One improver run: an improver applied to a program.

    Attributes:
        key: its name within the run, e.g. "round/1" or "task/knapsack/0/<improver's id>".
        round: on the meta level of a run of rounds, else None.
        task, repetition: on the task level (repetitions count from 0), else None.
        improver_id: the program that was applied.
        initial_id: the program that it was given.
        result_id: the program that it returned; None without one.
        status: "running" until it has ended, then as of an evaluation.
        detail: what went wrong, for people.
        utility_calls: programs that it had scored.
        cpu_seconds: its own CPU time.
        stdout, stderr: what it printed, cut to the sandbox's limit.
        started, finished: seconds since 1970; `finished` is None until it has ended.
        cause: what the host did that explains a failure.
    """

    key: str
    level: RunLevel
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
    cause: Cause = ""

    @property
    def scope(self) -> str:
        """The part of the tape that it shares with others: by task and repetition, else its own."""
        return self.key if self.task is None else f"{self.task}/{self.repetition}"


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round of a run.

    Attributes:
        round: from 1 on; 0 is the improver to begin with.
        improver_id: the candidate; None when the round brought none.
        parent_id: the improver that made it; None in round 0.
        meta_utility: the candidate's; None when it was not scored.
        low, high: ends of the 95 % interval of `meta_utility`; None with too few scores.
        difference: meta-utility minus the parent's, paired on the same instances.
        difference_low, difference_high: ends of its 95 % interval.
        accepted: whether the candidate becomes the improver of the next round.
        status: "ok", or why there is no candidate or no score.
        detail: the same, for people.
        finished: seconds since 1970.
    """

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
        change = [self.difference_low, self.difference_high]
        return {
            "round": self.round,
            "improver_id": self.improver_id,
            "meta_utility": self.meta_utility,
            "interval": None if self.low is None else [self.low, self.high],
            "accepted": self.accepted,
            "status": self.status,
            "detail": self.detail,
            "parent_id": self.parent_id,
            "difference": self.difference,
            "difference_interval": None if self.difference_low is None else change,
        }


@dataclass(frozen=True, slots=True)
class ProgramRecord:
    """A program: SHA-256 of its bytes, "improver" or "solution", text, seconds since 1970."""

    id: str
    kind: str
    source: str
    created: float


@dataclass(frozen=True, slots=True)
class LMCallRecord:
    """One request on the tape with its responses.

    Attributes:
        id: counts up in the order of recording.
        improver_run: the key of the improver run that paid for it.
        n: number of responses.
        choices: the responses: "text" and "finish_reason" of each.
        prompt_tokens, completion_tokens: of all `n` responses together.
        usd: its price; None where no price is known.
        estimated: the server gave no token counts, so ours are recorded.
        retries: how many times it was sent again.
        faults: why, one text for each attempt that failed.
        started, finished: seconds since 1970.
    """

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
    """One response of a bypass measurement, and the program in it.

    Attributes:
        cell: the prompt that it answers.
        number: 0, 1, ... within the cell.
        program_id: None when the response contains no code.
        status: "ok", "unparsable", "unreadable" (it parses, but the rules gave up) or "no_code".
        level: the highest of `findings`.
        paper_rule: whether the paper's literal rule finds a bypass.
        cut_off: whether the response ended at the token limit.
        findings: what the text shows: "rule", "level", "line", "evidence" of each.
        events: what the program tried when it ran: "kind", "level", "detail" of each.
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
