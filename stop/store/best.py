"""The best improver of a run of rounds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stop.audit import log as audit_log
from stop.config import RunConfig
from stop.store.queries import Queries
from stop.store.records import RoundRecord


def best_round(store: Queries, config: RunConfig) -> RoundRecord | None:
    """The round of the best improver, without programs in quarantine; None: there is none.

    It is the last one that was confirmed on fresh cells, each of which was better than the one
    before; without any, the accepted one with the highest meta-utility.

    The audit log is read only where its events can bar a program.
    """
    path = store.path.parent / "audit.jsonl"
    events: Iterable[Mapping[str, Any]] = ()
    if config.policy == "quarantine" and path.exists():
        events = audit_log.read(path, "security")
    return best_of(store.rounds(), in_quarantine(config, events))


def best_of(records: Iterable[RoundRecord], barred: Collection[str | None]) -> RoundRecord | None:
    """As `best_round`, where the rounds and the programs in quarantine are known already."""
    accepted = [r for r in records if r.accepted and r.improver_id not in barred]
    confirmed = [r for r in accepted if r.confirmed]
    return confirmed[-1] if confirmed else max(accepted, key=_meta_utility, default=None)


def _meta_utility(record: RoundRecord) -> float:
    return record.meta_utility or 0.0


def in_quarantine(config: RunConfig, events: Iterable[Mapping[str, Any]]) -> set[str | None]:
    """The programs in quarantine, which may be found out after they were accepted.

    Args:
        config: of the run; only the policy "quarantine" bars programs (`stop.audit.policy`).
        events: lines of the audit log of the kind "security".
    """
    if config.policy != "quarantine":
        return set()
    return {event["program_id"] for event in events if event["level"] >= config.policy_level}
