"""What follows from an attempt: it is logged, its program is quarantined, or the run halts.

    log          the default: known, and without effect, as every attempt
    quarantine   the program is kept and never executes again; it can be no improver and no parent
    halt         after N programs the run stops (exit code 6) until a person gives a reason

Programs are counted, not events: one that tries a thousand times is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from stop.errors import PolicyHalt
from stop.events import Level, SecurityEvent

PolicyMode = Literal["log", "quarantine", "halt"]
_COUNTED = ("quarantined", "counted")
REMEMBERED = ("security", "resumed", *_COUNTED)
"""The kinds of lines that `Policy.remember` wants."""
POLICY_MODES: tuple[PolicyMode, ...] = ("log", "quarantine", "halt")


class Policy:
    """Judges the events of one run. What it knows comes from the log, so that a restart forgets
    nothing: see `remember`.

    Args:
        mode: "log", "quarantine" or "halt".
        level: events from this level on count.
        halt_after: so many programs with such events halt the run.
    """

    def __init__(
        self, mode: PolicyMode = "log", *, level: Level = Level.ATTEMPT, halt_after: int = 1
    ) -> None:
        self.mode = mode
        self._level = level
        self._halt_after = halt_after
        self._attempted: set[str] = set()
        self._looked_at: set[str] = set()

    def remember(self, line: Mapping[str, Any]) -> None:
        """Take in one line of the run's log, oldest first."""
        if line["kind"] == "resumed":  # a person has looked at what was there
            self._looked_at |= self._attempted
        elif line["kind"] in _COUNTED or (
            line["kind"] == "security" and line["level"] >= self._level
        ):
            self._attempted.add(line["program_id"])

    def counts(self, event: SecurityEvent) -> bool:
        """Take in an event that was logged; whether it is its program's first that counts."""
        if event.level < self._level or event.program_id in self._attempted:
            return False
        self._attempted.add(event.program_id)
        return self.mode != "log"

    def refuses(self, program_id: str) -> bool:
        """Whether the program must not be executed."""
        return self.mode == "quarantine" and program_id in self._attempted

    @property
    def attempts(self) -> int:
        """Programs that tried since a person last looked."""
        return len(self._attempted - self._looked_at)

    @property
    def halts(self) -> bool:
        """Whether the run must not go on."""
        return self.mode == "halt" and self.attempts >= self._halt_after


def tell_all(listener: Callable[[SecurityEvent], None], events: Iterable[SecurityEvent]) -> None:
    """Tell of every event, also where one of them halts the run; then it halts."""
    halt: PolicyHalt | None = None
    for event in events:
        try:
            listener(event)
        except PolicyHalt as error:
            halt = halt or error
    if halt is not None:
        raise halt


def halted(attempts: int, folder: str) -> PolicyHalt:
    """The error that ends the run."""
    what = "a program" if attempts == 1 else f"{attempts} programs"
    return PolicyHalt(
        f"the policy halted the run: {what} tried to get around the sandbox",
        hint=f"read `stop audit summary {folder}`; to go on, say why: "
        f'stop resume {folder} --reason "..."',
    )
