"""The scores of one program, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stop._util.documents import to_document
from stop._util.sheet import Sheet, Table, interval, number, short, to_html
from stop._util.statistics import UNKNOWN, Cell, stratified_mean
from stop.events import SecurityEvent

Status = Literal["ok", "error", "timeout", "oom", "invalid", "syntax", "quarantined", "budget"]

Split = Literal["search", "meta", "test"]
"""Instances that an improver's utility, the meta-utility and reports score on."""

Cause = Literal["", "lm_refused", "lm_budget"]
"""What the host did to an improver run that returned no program, in the host's own knowledge.

"lm_refused": the model's server refused the last request that it made; "lm_budget": its budget for
responses had no room for a request. Nothing that the guest says decides it.
"""


@dataclass(frozen=True, slots=True)
class InstanceResult:
    """One instance.

    Attributes:
        score: the lower end of the task's range unless `status` is "ok".
        status: how the program ended.
        cpu_seconds: CPU time that it took.
        detail: what went wrong, perhaps only at a first try.
    """

    score: float
    status: Status
    cpu_seconds: float
    detail: str = field(default="", metadata={"exclude": True})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One program on one split of one task. A program that fails is an answer with a status.

    Attributes:
        program_id: SHA-256 of its bytes, 64 hex digits.
        task: its name.
        split: "search", "meta" or "test".
        score: mean over the instances; a failed instance counts the range's lower end.
        status: "ok" when every instance is, else the status of the first one that is not.
        detail: what went wrong, with how many instances.
        isolation: where it ran, e.g. "docker/fork".
        instances: in order.
        events: security events that it caused.
        score_range: of the task; it is not recorded, so the intervals of recorded ones are not cut.
    """

    program_id: str
    task: str
    split: str
    score: float
    status: Status
    detail: str
    isolation: str
    instances: tuple[InstanceResult, ...] = ()
    events: tuple[SecurityEvent, ...] = ()
    stdout: str = field(default="", metadata={"exclude": True})
    stderr: str = field(default="", metadata={"exclude": True})
    score_range: tuple[float, float] = field(default=UNKNOWN, metadata={"exclude": True})

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of `score` over the instances; None with fewer than two."""
        scores = tuple(i.score for i in self.instances)
        cell = Cell(self.task, 0, self.score, scores)
        return stratified_mean([cell], within=self.score_range, instances=True).interval

    def to_dict(self) -> dict[str, Any]:
        """As `stop evaluate --json` prints it."""
        return to_document(self)

    def sheet(self) -> Sheet:
        """Returns the result as people read it."""
        facts = {
            "program": short(self.program_id),
            "task": f"{self.task} ({self.split}, {len(self.instances)} instances)",
            "score": f"{number(self.score)} {interval(self.interval)}".strip(),
            "status": self.status + (f": {self.detail}" if self.detail else ""),
            "isolation": self.isolation,
        }
        events = [(int(e.level), e.kind, e.detail) for e in self.events]
        return [facts, Table(("level", "kind", "detail"), events)] if events else [facts]

    def _repr_html_(self) -> str:
        return to_html(self.sheet())
