"""What counts against the budgets of a run and of its rounds, by counting queries."""

from __future__ import annotations

from stop.budget import Spending
from stop.store.queries import SUMS, Queries


class Payments:
    """Spending of one run: responses, requests that were lost, utility calls.

    A request counts in the round in which it was sent, a utility call in the round in which its
    improver run was last executed: calls of earlier executions are forgotten.
    """

    def __init__(self, store: Queries) -> None:
        self._store = store

    def spent(self, in_round: int | None = None) -> Spending:
        """The spending of the run, or of one of its rounds."""
        if in_round is None:
            total = self._store.spending()
            utility_calls = "SELECT COUNT(*) FROM utility_calls"
        else:
            total = self._sum(
                f"SELECT {SUMS.format('c')} FROM lm_requests r JOIN lm_calls c "
                "ON c.id = r.lm_call WHERE r.state = 'paid' AND r.round = :round",
                in_round,
            )
            utility_calls = (
                "SELECT COUNT(*) FROM utility_calls u JOIN executions e "
                "ON e.improver_run = u.improver_run WHERE e.round = :round"
            )
        total.add(self.lost(in_round))
        row = self._store.query(utility_calls, {"round": in_round}).fetchone()
        total.utility_calls = int(row[0])
        return total

    def lost(self, in_round: int | None = None) -> Spending:
        """An upper bound of what was paid for requests without a response; all, or of a round."""
        return self._sum(
            f"SELECT {SUMS.format('lm_requests')} FROM lm_requests WHERE state = 'lost' "
            "AND (:round IS NULL OR round = :round)",
            in_round,
        )

    def rounds(self) -> list[int]:
        """The rounds in which an improver run was executed or a request sent, in order."""
        rows = self._store.query(
            "SELECT round FROM executions UNION SELECT round FROM lm_requests ORDER BY 1"
        )
        return [int(row[0]) for row in rows if row[0] is not None]

    def _sum(self, query: str, in_round: int | None) -> Spending:
        return Spending(*self._store.query(query, {"round": in_round}).fetchone())
