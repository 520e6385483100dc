"""What the audit asks of whoever executes programs: which may run, and a record that one does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from stop.events import SecurityEvent


class Quarantined(Exception):
    """The program must not be executed any more. A verdict on it, not an error of the host."""


class Guard:
    """Stands before every execution of a program.

    This one lets every program pass and records nothing: it is for single evaluations outside a
    run. `stop.audit.watch.Watch` is the guard of a run.
    """

    def refuses(self, program_id: str) -> bool:
        """Returns whether the program is in quarantine."""
        return False

    def admit(self, program_id: str) -> None:
        """Checks a program at the last moment before it runs, with a sandbox at hand.

        Raises:
            Quarantined: while it waited for a sandbox, the program gave itself away elsewhere.
            PolicyHalt: no program may be executed any more.
        """

    def report(self, events: Sequence[SecurityEvent]) -> None:
        """Takes the events of a program that has no verdict, because it was cut off."""

    def effect(self, effect: str, **body: Any) -> AbstractContextManager[Any]:
        """Writes the intent before the block and the outcome after it.

        The block may set `status` of the value that it gets, unless that is None.
        """
        return nullcontext()

    def settle(self, improver_run: str) -> None:
        """Closes the account of an improver run, which has ended: it causes no more events."""


NO_GUARD = Guard()
