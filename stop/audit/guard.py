"""What the audit asks of whoever executes programs: which may run, and a record that one does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from stop.events import SecurityEvent


class Quarantined(Exception):
    """The program must not be executed any more. A verdict on it, not an error of the host."""


class Guard(Protocol):
    """Stands before every execution of a program."""

    def refuses(self, program_id: str) -> bool:
        """Whether the program is in quarantine."""
        ...

    def admit(self, program_id: str) -> None:
        """Asked at the last moment, with a sandbox at hand.

        Raises:
            Quarantined: while it waited for one, the program gave itself away elsewhere.
            PolicyHalt: nothing must be executed any more.
        """
        ...

    def report(self, events: Sequence[SecurityEvent]) -> None:
        """What a program did that has no verdict, because it was cut off."""
        ...

    def effect(self, effect: str, **body: Any) -> AbstractContextManager[Any]:
        """Writes the intent before the block and the outcome after it.

        The block may set `status` of what it is given, unless that is None.
        """
        ...

    def settle(self, improver_run: str) -> None:
        """An improver run has ended: nothing more of it will come."""
        ...


class _NoGuard:
    """For single evaluations outside a run: there is no log, and nothing is in quarantine."""

    def refuses(self, program_id: str) -> bool:
        return False

    def admit(self, program_id: str) -> None:
        pass

    def report(self, events: Sequence[SecurityEvent]) -> None:
        pass

    def effect(self, effect: str, **body: Any) -> AbstractContextManager[Any]:
        return nullcontext()

    def settle(self, improver_run: str) -> None:
        pass


NO_GUARD: Guard = _NoGuard()
