"""Budgets hold under any interleaving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.budget import Budget, Ledger, Spending
from stop.errors import BudgetExceeded

spendings = st.builds(
    Spending,
    lm_calls=st.just(1),
    responses=st.integers(1, 6),
    prompt_tokens=st.integers(0, 500),
    completion_tokens=st.integers(0, 500),
    usd=st.floats(0, 0.5),
)


@given(
    st.integers(0, 20),
    st.integers(0, 3000),
    st.lists(st.tuples(spendings, st.floats(0, 1), st.booleans()), max_size=40),
    st.randoms(),
)
def test_no_interleaving_passes_a_limit(calls, tokens, requests, random):
    """Open and settle reservations in any order: the sum of what was really spent stays within."""
    ledger = Ledger(Budget(lm_calls=calls, tokens=tokens, usd=2.0))
    open_ones = []
    for worst, share, fails in requests:
        context = ledger.reserve(worst)
        try:
            reservation = context.__enter__()
        except BudgetExceeded:
            continue
        open_ones.append((context, reservation, worst, share, fails))
        while open_ones and random.random() < 0.5:
            _close(open_ones.pop(random.randrange(len(open_ones))))
    for one in open_ones:
        _close(one)
    assert ledger.spent.lm_calls <= calls
    assert ledger.spent.tokens <= tokens
    assert ledger.spent.usd <= 2.0 + 1e-6


def _close(one):
    context, reservation, worst, share, fails = one
    if not fails:
        actual = Spending(
            1,
            worst.responses,
            int(worst.prompt_tokens * share),
            int(worst.completion_tokens * share),
            worst.usd * share,
        )
        reservation.settle(actual)
    context.__exit__(None, None, None)


def test_what_is_under_way_counts():
    ledger = Ledger(Budget(lm_calls=2))
    one = Spending(lm_calls=1)
    with (
        ledger.reserve(one),
        ledger.reserve(one),
        pytest.raises(BudgetExceeded) as error,
        ledger.reserve(one),
    ):
        pass
    assert error.value.resource == "lm_calls"
    assert error.value.exit_code == 3


def test_a_failed_request_is_given_back():
    ledger = Ledger(Budget(lm_calls=1))
    with pytest.raises(RuntimeError), ledger.reserve(Spending(lm_calls=1)):
        raise RuntimeError("the server is gone")
    with ledger.reserve(Spending(lm_calls=1)) as reservation:
        reservation.settle(Spending(lm_calls=1))
    assert ledger.spent.lm_calls == 1


def test_unknown_prices_are_said_and_not_added_up():
    spent = Spending()
    spent.add(Spending(lm_calls=1, usd=0.5))
    spent.add(Spending(lm_calls=1, usd_unknown_calls=1))
    assert spent.to_dict()["usd"] is None
    assert spent.usd == 0.5
