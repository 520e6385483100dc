"""What is told while work goes on: security events (kept) and progress (shown).

Plain data. Whoever produces an event does not know who listens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

Source = Literal["text", "host", "kernel", "guest"]
"""Who saw it: the static rules, the host itself, the kernel, or a hook in the guest's process.

What the guest's own hook tells can be suppressed by a guest that tries; the others cannot.
"""


class Level(IntEnum):
    """How far an attempt against the sandbox went."""

    NONE = 0
    INTENT = 1  # the program's text shows it
    ATTEMPT = 2  # the host received a flag that is not True
    TAMPERING = 3  # environment, configuration, client, frames, a kernel denial


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One attempt, as it is shown to people and written to the audit log.

    Attributes:
        kind: what was tried.
        level: 1 intent, 2 attempt, 3 tampering.
        detail: the evidence, in words.
        source: who saw it.
    """

    kind: str
    level: Level
    detail: str
    program_id: str = field(default="", metadata={"exclude": True})  # from documents
    improver_run: str = field(default="", metadata={"exclude": True})
    source: Source = "host"

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "level": int(self.level),
            "detail": self.detail,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """Something happened that a person watching would like to see.

    `kind` is one of: round_started, improver_run_started, improver_run_finished, lm_call_started,
    lm_call_finished, lm_call_failed, lm_waiting, lm_answers, evaluation_finished,
    candidate_scored, round_finished, run_finished (also when it ends early), counted, budget,
    security, message.
    """

    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


ProgressListener = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """The listener of those who do not watch."""
