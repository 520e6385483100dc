"""The best improver of a run of rounds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stop.audit import log as audit_log
from stop.config import RunConfig
from stop.store import RoundRecord, Store


def best_round(store: Store, config: RunConfig) -> RoundRecord | None:
    """The round whose candidate was accepted and has the highest meta-utility; None: there is none.

    The audit log is read only where its events can bar a program.
    """
    path = store.path.parent / "audit.jsonl"
    events: Iterable[Mapping[str, Any]] = ()
    if config.policy == "quarantine" and path.exists():
        events = audit_log.read(path, "security")
    return best_of(store.rounds(), in_quarantine(config, events))


def best_of(records: Iterable[RoundRecord], barred: Collection[str | None]) -> RoundRecord | None:
    """As `best_round`, where the rounds, and who is in quarantine, are known already."""
    accepted = [r for r in records if r.accepted and r.improver_id not in barred]
    return max(accepted, key=lambda r: r.meta_utility or 0.0, default=None)


def in_quarantine(config: RunConfig, events: Iterable[Mapping[str, Any]]) -> set[str | None]:
    """As `stop.audit.policy.Policy` has it: a program may be found out after it was accepted."""
    if config.policy != "quarantine":
        return set()
    return {event["program_id"] for event in events if event["level"] >= config.policy_level}
