"""What follows from an attempt: it is logged, its program is quarantined, or the run halts.

    log          the default: the attempt is on record, and had no effect
    quarantine   the program is kept and never executed again, as improver or parent either
    halt         after N programs the run stops (exit code 6) until a person gives a reason

Programs are counted, not events: one that tries a thousand times is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stop.config import PolicyMode
from stop.errors import PolicyHalt
from stop.events import Level, SecurityEvent

_COUNTED = ("quarantined", "counted")
REMEMBERED = ("security", "resumed", *_COUNTED)
"""The kinds of lines that `Policy.remember` wants."""


class Policy:
    """Judges the events of one run.

    What it knows comes from the log, so that a restart forgets nothing: see `remember`.

    Args:
        mode: "log", "quarantine" or "halt".
        level: events from this level on count.
        halt_after: the number of programs with such events that halts the run.
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
        """Takes in one line of the run's log; lines come oldest first."""
        if line["kind"] == "resumed":  # a person has looked at what was there
            self._looked_at |= self._attempted
        elif line["kind"] in _COUNTED or (
            line["kind"] == "security" and line["level"] >= self._level
        ):
            self._attempted.add(line["program_id"])

    def counts(self, event: SecurityEvent) -> bool:
        """Takes in an event that was logged.

        Returns:
            Whether something follows: it is the first of its program that counts.
        """
        if event.level < self._level or event.program_id in self._attempted:
            return False
        self._attempted.add(event.program_id)
        return self.mode != "log"

    def refuses(self, program_id: str) -> bool:
        """Returns whether the program must not be executed."""
        return self.mode == "quarantine" and program_id in self._attempted

    @property
    def attempts(self) -> int:
        """The number of programs that tried since a person last looked."""
        return len(self._attempted - self._looked_at)

    @property
    def halts(self) -> bool:
        """Whether the run must stop."""
        return self.mode == "halt" and self.attempts >= self._halt_after


def tell_all(listener: Callable[[SecurityEvent], None], events: Iterable[SecurityEvent]) -> None:
    """Calls `listener` with every event, also after one that halts the run.

    Raises:
        PolicyHalt: the first that the listener raised.
    """
    halt: PolicyHalt | None = None
    for event in events:
        try:
            listener(event)
        except PolicyHalt as error:
            halt = halt or error
    if halt is not None:
        raise halt


def halted(attempts: int, folder: str) -> PolicyHalt:
    """Returns the error that ends the run in `folder`."""
    what = "a program" if attempts == 1 else f"{attempts} programs"
    return PolicyHalt(
        f"the policy halted the run: {what} tried to get around the sandbox",
        hint=f"read `stop audit summary {folder}`; to go on, say why: "
        f'stop resume {folder} --reason "..."',
    )
