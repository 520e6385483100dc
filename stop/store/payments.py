"""What counts against the budgets of a run and of its rounds, by counting queries."""

from __future__ import annotations

from stop.budget import Spending
from stop.store import Store

_SUMS = (
    "COUNT(*), COALESCE(SUM({0}.n), 0), COALESCE(SUM({0}.prompt_tokens), 0), "
    "COALESCE(SUM({0}.completion_tokens), 0), COALESCE(SUM({0}.usd), 0), "
    "COALESCE(SUM({0}.usd IS NULL), 0)"
)


class Payments:
    """Spending of one run's store: responses, requests that were lost, utility calls.

    A request counts in the round in which it was sent, a utility call in the round in which its
    improver run was last executed: calls of earlier executions are forgotten.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def spent(self, in_round: int | None = None) -> Spending:
        """By the run, or by one of its rounds."""
        if in_round is None:
            total = self._store.spending()
            utility_calls = "SELECT COUNT(*) FROM utility_calls"
        else:
            total = self._sum(
                f"SELECT {_SUMS.format('c')} FROM lm_requests r JOIN lm_calls c "
                "ON c.id = r.lm_call WHERE r.state = 'paid' AND r.round = ?",
                in_round,
            )
            utility_calls = (
                "SELECT COUNT(*) FROM utility_calls u JOIN executions e "
                "ON e.improver_run = u.improver_run WHERE e.round = ?"
            )
        total.add(self.lost(in_round))
        values = () if in_round is None else (in_round,)
        total.utility_calls = int(self._store.query(utility_calls, values).fetchone()[0])
        return total

    def lost(self, in_round: int | None = None) -> Spending:
        """For requests without a response that may have been paid for; at the most."""
        query = f"SELECT {_SUMS.format('r')} FROM lm_requests r WHERE r.state = 'lost'"
        if in_round is None:
            return self._sum(query)
        return self._sum(f"{query} AND r.round = ?", in_round)

    def rounds(self) -> list[int]:
        """Those in which an improver run was executed or a request sent."""
        rows = self._store.query(
            "SELECT round FROM executions UNION SELECT round FROM lm_requests ORDER BY 1"
        )
        return [int(row[0]) for row in rows if row[0] is not None]

    def _sum(self, query: str, *values: int) -> Spending:
        return Spending(*self._store.query(query, values).fetchone())
