"""The guard of a run: logs every security event, shows it, and carries out the policy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from stop.audit.guard import Guard, Quarantined
from stop.audit.log import AuditLog, Effect, read
from stop.audit.policy import REMEMBERED, Policy, halted, tell_all
from stop.events import Level, Progress, ProgressListener, SecurityEvent


class Watch(Guard):
    """Logs every security event of a run, shows it, and carries out the policy.

    Args:
        folder: of the run; named in the error that halts it.
        audit: the run's open log. What earlier sessions wrote there is read at once.
        policy: judges the events.
        progress: called with each event that was logged.
    """

    def __init__(
        self, folder: Path, audit: AuditLog, policy: Policy, progress: ProgressListener
    ) -> None:
        self._folder = folder
        self._audit = audit
        self._policy = policy
        self._progress = progress
        self._findings: set[tuple[str, ...]] = set()
        for line in read(audit.path, *REMEMBERED):
            policy.remember(line)
            if line["kind"] == "security" and line["level"] <= Level.INTENT:
                self._findings.add(tuple(line[key] for key in _SAME))

    def open(self, reason: str) -> None:
        """Begins a session; a reason lets a halted run go on.

        Raises:
            PolicyHalt: the run was halted, and there is no reason.
        """
        if reason:
            self._audit.append("resumed", reason=reason)
            self._policy.remember({"kind": "resumed"})
        self._halt_if_due()

    def _halt_if_due(self) -> None:
        if self._policy.halts:
            raise halted(self._policy.attempts, str(self._folder))

    def see(self, event: SecurityEvent) -> None:
        """Logs an event, then acts on it. Events of levels 0 and 1 are logged once per program.

        Raises:
            PolicyHalt: the event was one attempt too many.
        """
        if event.level <= Level.INTENT:
            finding = (event.program_id, event.kind, event.source, event.detail)
            if finding in self._findings:
                return
            self._findings.add(finding)
        if self._audit.security(event):  # else it belongs to a flood, and is counted
            self._progress(Progress("security", f"{event.kind}: {event.detail}", event.to_dict()))
        if self._policy.counts(event):
            what = "quarantined" if self._policy.mode == "quarantine" else "counted"
            self._audit.append(what, program_id=event.program_id, event=event.kind)
            self._progress(Progress("message", f"{what}: program {event.program_id[:10]}"))
            self._halt_if_due()

    def refuses(self, program_id: str) -> bool:
        return self._policy.refuses(program_id)

    def admit(self, program_id: str) -> None:
        self._halt_if_due()
        if self.refuses(program_id):
            raise Quarantined

    def report(self, events: Sequence[SecurityEvent]) -> None:
        tell_all(self.see, events)

    def effect(self, effect: str, **body: Any) -> AbstractContextManager[Effect]:
        return self._audit.effect(effect, **body)

    def settle(self, improver_run: str) -> None:
        self._audit.settle(improver_run)


_SAME = ("program_id", "event", "source", "detail")
"""Keys of a logged event by which a repetition is recognised.

The source is one of them: what a guest's own hook says never stands in for what its text shows.
"""
