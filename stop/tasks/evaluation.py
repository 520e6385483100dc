"""What scoring one program came to, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from stop._util.statistics import Cell, stratified_mean
from stop.events import SecurityEvent

Status = Literal["ok", "error", "timeout", "oom", "invalid", "syntax", "quarantined", "budget"]

Split = Literal["search", "meta", "test"]
"""Instances that an improver's utility, the meta-utility and reports score on."""

Cause = Literal["", "lm_refused", "lm_budget"]
"""What the host did to an improver run that returned no program, in the host's own knowledge.

"lm_refused": the model's server refused every request that it made; "lm_budget": its budget for
responses had no room for a request. Nothing that the guest says decides it.
"""


@dataclass(frozen=True, slots=True)
class InstanceResult:
    """One instance: its score (the range's lower end unless status is "ok") and CPU seconds."""

    score: float
    status: Status
    cpu_seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One program on one split of one task.

    Attributes:
        score: mean over the instances; a failed instance counts the range's lower end.
        status: "ok" when every instance is, else the status of the first one that is not.
        detail: what went wrong, with how many instances.
        isolation: where it ran, e.g. "docker/fork".
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
    stdout: str = ""
    stderr: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of `score` over the instances; None with fewer than two."""
        scores = tuple(i.score for i in self.instances)
        return stratified_mean([Cell(self.task, 0, self.score, scores)]).interval

    def to_dict(self) -> dict[str, Any]:
        """As `stop evaluate --json` prints it."""
        return {
            "program_id": self.program_id,
            "task": self.task,
            "split": self.split,
            "score": self.score,
            "status": self.status,
            "detail": self.detail,
            "isolation": self.isolation,
            "instances": [
                {"score": i.score, "status": i.status, "cpu_seconds": i.cpu_seconds}
                for i in self.instances
            ],
            "events": [event.to_dict() for event in self.events],
        }
