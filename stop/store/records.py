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
        improver_id, initial_id, result_id: the program that was applied, the one that it was given
            and the one that it returned; no result until it has ended, or when it returned none.
        status: "running" until it has ended, then as of an evaluation; `detail` says more.
        utility_calls: the number of programs that it had scored.
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
        meta_utility, low, high: the candidate's, with its 95 % interval, from the cells that
            decided the round; None without a score.
        selection: its meta-utility on the cells on which the round chose it: too high, for being
            the best of several there; None where it was not scored on them.
        selection_difference, selection_difference_low, selection_difference_high: to the parent's
            on these cells, where the rule decides by them.
        candidates: number of improvers that were scored in the round; None: not known.
        accepted: whether the candidate becomes the improver of the next round.
        confirmed: whether it was accepted by a comparison on fresh cells.
        status: "ok", or why there is no candidate or no score; `detail` says more.
        finished: seconds since 1970.
    """

    round: int
    improver_id: str | None
    parent_id: str | None
    meta_utility: float | None
    low: float | None
    high: float | None
    accepted: bool
    status: str
    detail: str
    finished: float
    selection: float | None = None
    selection_difference: float | None = None
    selection_difference_low: float | None = None
    selection_difference_high: float | None = None
    candidates: int | None = None
    confirmed: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the meta-utility."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True, slots=True)
class ProgramRecord:
    """A program: SHA-256 of its bytes, "improver" or "solution", text, seconds since 1970."""

    id: str
    kind: str
    source: str
    created: float


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
