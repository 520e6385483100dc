"""What a run and its rounds have spent, of their limits; read from its store."""

from __future__ import annotations

import json
from typing import Any

from stop.budget import Spending
from stop.config import RunConfig
from stop.store import Store
from stop.store.payments import Payments


def read_budget(store: Store, config: RunConfig) -> dict[str, Any]:
    """Spent and limits by resource, of the run and of each round that has spent something.

    Limits are those in force when the run was last worked on.
    """
    payments = Payments(store)
    noted = store.meta("limits")
    limits = config.limits if noted is None else json.loads(noted)
    return {
        "run": _level(payments.spent(), store.meta("seconds"), limits["run"]),
        "rounds": [
            {"round": number}
            | _level(payments.spent(number), store.meta(f"seconds.round.{number}"), limits["round"])
            for number in payments.rounds()
        ],
        "lost": payments.lost().to_dict(),
    }


def _level(spent: Spending, seconds: str | None, limits: dict[str, float]) -> dict[str, Any]:
    return {
        "spent": {
            "lm_calls": spent.lm_calls,
            "responses": spent.responses,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "tokens": spent.tokens,
            "usd": None if spent.usd_unknown_calls else round(spent.usd, 6),
            "utility_calls": spent.utility_calls,
            "seconds": round(float(seconds or 0), 3),
        },
        "limits": limits,
    }
