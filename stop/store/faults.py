"""What went wrong with the models' servers: rows that are added once, and counted by query."""

from __future__ import annotations

from dataclasses import dataclass

from stop.lm.faults import LMFault
from stop.store import Store


@dataclass(frozen=True, slots=True)
class FaultCount:
    """Attempts that failed for one reason.

    Attributes:
        seconds: lost, added up over requests, also over those that ran side by side.
        ended: with so many of them a request failed for good.
        last: the latest one's details.
    """

    reason: str
    count: int
    ended: int
    seconds: float
    last: str


class Faults:
    """The faults in one run's store (`stop.lm.faults.FaultRecords`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_fault(self, fault: LMFault) -> int:
        row = {
            "at": fault.at,
            "model": fault.model,
            "reason": fault.reason,
            "detail": fault.detail,
            "improver_run": fault.improver_run,
            "seconds": fault.seconds,
        }
        return self._store.add_row("lm_faults", row)

    def end_request(self, number: int) -> None:
        self._store.change("UPDATE lm_faults SET ended = 1 WHERE id = ?", (number,))

    def all(self) -> list[LMFault]:
        """In the order in which they happened."""
        if not self._known:
            return []
        rows = self._store.query(
            "SELECT model, reason, detail, seconds, improver_run, at FROM lm_faults ORDER BY id"
        )
        return [LMFault(*row) for row in rows]

    def counts(self) -> list[FaultCount]:
        """By reason, the most frequent first."""
        if not self._known:
            return []
        # With MAX(id) in it, SQLite takes the plain column `detail` from that row.
        rows = self._store.query(
            "SELECT reason, COUNT(*) AS n, SUM(ended), SUM(seconds), detail, MAX(id) "
            "FROM lm_faults GROUP BY reason ORDER BY n DESC, reason"
        )
        return [FaultCount(*row[:5]) for row in rows]

    @property
    def _known(self) -> bool:
        """False for a run of an earlier version, which kept no faults."""
        rows = self._store.query("SELECT 1 FROM sqlite_master WHERE name = 'lm_faults'")
        return rows.fetchone() is not None
