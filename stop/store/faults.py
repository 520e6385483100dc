"""Faults of the models' servers: recorded one by one, counted by query."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from stop.lm.faults import LMFault
from stop.store.writes import Store


@dataclass(frozen=True, slots=True)
class FaultCount:
    """Attempts that failed for one reason.

    Attributes:
        reason: as of `LMFault`.
        count: the number of attempts.
        ended: the number of those with which a request failed for good.
        seconds: lost, added up over requests, also over those that ran at the same time.
        last: details of the latest one.
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
        """Records a fault; returns the number by which `end_request` knows it."""
        return self._store.add_row("lm_faults", asdict(fault))

    def end_request(self, number: int) -> None:
        """Notes that with this fault its request failed for good."""
        self._store.change("UPDATE lm_faults SET ended = 1 WHERE id = ?", (number,))

    def counts(self) -> list[FaultCount]:
        """The counts by reason, the most frequent first."""
        # With MAX(id) in it, SQLite takes the plain column `detail` from that row.
        rows = self._store.query(
            "SELECT reason, COUNT(*) AS n, SUM(ended), SUM(seconds), detail, MAX(id) "
            "FROM lm_faults GROUP BY reason ORDER BY n DESC, reason"
        )
        return [FaultCount(*row[:5]) for row in rows]
