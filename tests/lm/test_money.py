"""The cap on money holds whatever number of choices a server gives for one request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stop.budget import Budget, Ledger
from stop.errors import BudgetExceeded, LMError
from stop.lm import LMOptions, LMRequest
from stop.lm.remote.openai import OpenAIModel
from stop.lm.tape import Tape, TapedModel
from stop.store import Store
from stop.testing.openai_server import Fault
from tests.helpers.recorded import start_improver_run
from tests.helpers.servers import BillingServer

PRICES = (100.0, 400.0)
"""US dollars for a million tokens, read and written."""
REQUEST = LMRequest("You are an expert.", "Improve this program, please. " * 20, n=6, max_tokens=40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "run.db")
    start_improver_run(made, "run/a")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("n", "believed"), [(1, False), (6, False), (6, True)], ids=["n=1", "n=6", "n=6, as at OpenAI"]
)
@pytest.mark.parametrize(
    "server_options",
    [
        {},
        {"honours_n": False},
        {"faults": [Fault("fewer", choices=0, count=999)]},
        {"faults": [Fault("fewer", choices=2, count=999)]},
        {"faults": [Fault("fewer", choices=each % 4) for each in range(400)]},
        {"faults": [Fault("fewer", choices=0), Fault.status(500)] * 200, "honours_n": False},
        {"max_n": 2, "faults": [Fault("fewer", choices=1, count=999)]},
    ],
    ids=["as asked", "one", "none", "two", "any", "one, none, faults", "at most two"],
)
async def test_what_is_billed_stays_within_the_cap(
    store: Store, server_options: dict[str, Any], n: int, believed: bool
) -> None:
    with BillingServer(["one two three four " * 5], prices=PRICES, **server_options) as server:
        options = LMOptions(base_url=server.base_url, api_key="k", price_per_million=PRICES)
        model = OpenAIModel("m", options)
        model._hosted = believed  # then the prompt of n responses is expected to be billed once
        for worst_cases in (0.5, 1.0, 2.7):
            server.billed = 0.0
            request = replace(REQUEST, n=n)
            worst = model.worst_case(request).usd
            assert worst is not None
            cap = worst * worst_cases
            ledger = Ledger(Budget(usd=cap))
            taped = TapedModel(
                model, Tape(store, ledger, b"secret"), scope=f"t/{worst_cases}",
                improver_run="run/a", max_responses=1000, on_call=lambda *_: None,
            )  # fmt: skip
            with pytest.raises(BudgetExceeded, match="usd"):
                for _ in range(200):
                    with suppress(LMError):  # it keeps answering without choices
                        await taped.complete(request)
                    assert server.billed <= cap
            assert server.billed <= cap
            assert ledger.spent.usd >= server.billed * (1 - 1e-9)
            assert (server.billed > 0) == (worst_cases >= 1)
        await model.aclose()
