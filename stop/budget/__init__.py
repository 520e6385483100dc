"""What may be spent: limits as callers give them, the accounts that keep them, and the clock.

limits.py      Budget, ImproverBudget; max_usd, round_max_tokens, ... ─► a budget
ledger.py      reserve the worst case, settle what it cost
stopwatch.py   seconds of work, over all sessions of a run
"""

from __future__ import annotations

from stop.budget.ledger import (
    ONE_UTILITY_CALL,
    Account,
    Ledger,
    LMCost,
    Reservation,
    Share,
    Spending,
)
from stop.budget.limits import Budget, ImproverBudget

__all__ = [
    "ONE_UTILITY_CALL",
    "Account",
    "Budget",
    "ImproverBudget",
    "LMCost",
    "Ledger",
    "Reservation",
    "Share",
    "Spending",
]
