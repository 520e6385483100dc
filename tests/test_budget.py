"""Budgets hold under any interleaving, on every level, and time that nobody worked is not time."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from stop.budget import ONE_UTILITY_CALL, Account, Budget, ImproverBudget, Ledger, Spending
from stop.budget.limits import (
    RunLimits,
    improver_budget,
    round_budget,
    run_budget,
)
from stop.budget.stopwatch import Stopwatch, TimeUp, timed
from stop.engine.broker import Broker, Score
from stop.errors import BudgetExceeded, ConfigError
from stop.lm.base import Choice, LMRequest, LMResponse, Usage
from stop.options import improve_config, rounds_config

RESOURCES = [name for name in Budget.__dataclass_fields__ if name != "seconds"]
ONE = Spending(lm_calls=1)

spendings = st.builds(
    Spending,
    lm_calls=st.integers(0, 1),
    responses=st.integers(0, 6),
    prompt_tokens=st.integers(0, 500),
    completion_tokens=st.integers(0, 500),
    usd=st.floats(0, 0.5),
    utility_calls=st.integers(0, 1),
)
budgets = st.builds(
    Budget,
    usd=st.none() | st.floats(0, 2),
    tokens=st.none() | st.integers(0, 3000),
    lm_calls=st.none() | st.integers(0, 6),
    responses=st.none() | st.integers(0, 20),
    prompt_tokens=st.none() | st.integers(0, 1500),
    completion_tokens=st.none() | st.integers(0, 1500),
    utility_calls=st.none() | st.integers(0, 6),
)


def part(worst, share):
    """What a request may really have cost."""
    values = {f.name: getattr(worst, f.name) * share for f in fields(Spending)}
    return Spending(**{n: v if n == "usd" else int(v) for n, v in values.items()})


class Hierarchies(RuleBasedStateMachine):
    """Requests begin, settle, fail and are cancelled in any order, over any tree of accounts.

    Kept beside it: which account and all above it should have spent and reserved what.
    """

    accounts = Bundle("accounts")
    requests = Bundle("requests")

    def __init__(self):
        super().__init__()
        self.above = {}
        self.settled = {}
        self.open = {}

    @rule(target=accounts, budget=budgets)
    def run(self, budget):
        return self._account(budget, None)

    @rule(target=accounts, budget=budgets, above=accounts)
    def below(self, budget, above):
        return self._account(budget, above)

    def _account(self, budget, above):
        account = Account(f"level {len(self.above)}", budget, above=above)
        self.above[account], self.settled[account] = above, []
        return account

    def _chain(self, account):
        while account is not None:
            yield account
            account = self.above[account]

    @rule(target=requests, account=accounts, worst=spendings)
    def begin(self, account, worst):
        before = {each: each.reserved for each in self.above}
        context = account.reserve(worst)
        try:
            reservation = context.__enter__()
        except BudgetExceeded as error:
            assert {each: each.reserved for each in self.above} == before  # all or nothing
            short = next(a for a in self._chain(account) if a.level == error.level)
            limit = getattr(short.budget, error.resource)
            taken = getattr(short.spent, error.resource) + getattr(short.reserved, error.resource)
            assert taken + getattr(worst, error.resource) > limit
            return None
        self.open[context] = (account, worst, reservation)
        return context

    @rule(request=requests, share=st.floats(0, 1), how=st.sampled_from(["ok", "fail", "cancel"]))
    def settle(self, request, share, how):
        if request not in self.open:
            return
        account, worst, reservation = self.open.pop(request)
        actual = part(worst, share)
        reservation.settle(actual)
        for each in self._chain(account):
            self.settled[each].append(actual)
        self._leave(request, how)

    @rule(request=requests, how=st.sampled_from(["ok", "fail", "cancel"]))
    def come_to_nothing(self, request, how):
        if self.open.pop(request, None):
            self._leave(request, how)

    @staticmethod
    def _leave(request, how):
        error = {"fail": RuntimeError(), "cancel": asyncio.CancelledError()}.get(how)
        if error is None:
            request.__exit__(None, None, None)
        else:
            with pytest.raises(type(error)):
                request.__exit__(type(error), error, None)
                raise error

    @invariant()
    def nothing_passes_a_limit(self):
        for account in self.above:
            for resource, limit in account.budget.limits.items():
                spent, reserved = account.spent, account.reserved
                assert getattr(spent, resource) + getattr(reserved, resource) <= limit + 1e-6

    @invariant()
    def nothing_is_lost_or_invented(self):
        for account in self.above:
            held = [w for a, w, _ in self.open.values() if account in self._chain(a)]
            for name in RESOURCES:
                expected = sum(getattr(each, name) for each in self.settled[account])
                assert getattr(account.spent, name) == pytest.approx(expected)
                expected = sum(getattr(each, name) for each in held)
                assert getattr(account.reserved, name) == pytest.approx(expected)

    def teardown(self):
        for request in list(self.open):
            self.come_to_nothing(request, "fail")
        assert all(account.reserved == Spending() for account in self.above)


Hierarchies.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestHierarchies = Hierarchies.TestCase


@given(budgets, budgets, st.lists(st.tuples(spendings, st.floats(0, 1)), max_size=25), st.data())
@settings(max_examples=60)
def test_concurrent_requests_never_pass_a_limit_and_none_waits_for_ever(run, round_, work, data):
    """Real tasks that wait for room, are answered, fail or are given up."""
    ends = [data.draw(st.sampled_from(["ok", "fail", "cancel"])) for _ in work]
    ledger = Ledger(run)
    account = ledger.begin_round(1, round_)
    settled = []

    async def request(worst, share, end):
        while not ledger.has_room(worst):
            await ledger.room(worst)
        with ledger.reserve(worst) as reservation:
            for level in (ledger.run, account):
                for resource, limit in level.budget.limits.items():
                    taken = getattr(level.spent, resource) + getattr(level.reserved, resource)
                    assert taken <= limit + 1e-6
            await asyncio.sleep(0)
            if end == "fail":
                raise RuntimeError
            if end == "cancel":
                raise asyncio.CancelledError
            settled.append(part(worst, share))
            reservation.settle(settled[-1])

    async def everything():
        tasks = [request(*each, end) for each, end in zip(work, ends, strict=True)]
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert not [r for r in results if isinstance(r, AssertionError)]

    asyncio.run(everything())
    assert ledger.run.reserved == account.reserved == Spending()
    for name in RESOURCES:
        total = sum(getattr(each, name) for each in settled)
        assert getattr(ledger.run.spent, name) == pytest.approx(total)
        assert getattr(account.spent, name) == pytest.approx(total)


@pytest.mark.parametrize("limit", [0, 1, 7, 49, 50, 51])
async def test_of_fifty_calls_at_once_exactly_as_many_succeed_as_the_limit_allows(limit):
    ledger = Ledger(Budget(lm_calls=limit))

    async def call():
        await ledger.room(ONE)
        with ledger.reserve(ONE) as reservation:
            await asyncio.sleep(0.001)
            reservation.settle(ONE)

    results = await asyncio.gather(*(call() for _ in range(50)), return_exceptions=True)
    assert results.count(None) == min(limit, 50)
    assert {type(r) for r in results if r is not None} <= {BudgetExceeded}
    assert ledger.spent.lm_calls == min(limit, 50)


async def test_what_others_may_cost_and_did_not_is_used():
    """Reservations are worst cases: a call waits for them instead of ending the run."""
    ledger = Ledger(Budget(tokens=100))
    worst = Spending(prompt_tokens=60)

    async def call(cost):
        while not ledger.has_room(worst):
            await ledger.room(worst)
        with ledger.reserve(worst) as reservation:
            await asyncio.sleep(0)
            reservation.settle(Spending(prompt_tokens=cost))

    await asyncio.gather(call(10), call(10), call(10))
    assert ledger.spent.tokens == 30
    with pytest.raises(BudgetExceeded) as error:
        await asyncio.gather(call(60), call(60))
    assert (error.value.resource, error.value.level) == ("tokens", "run")
    error.value.run = Path("runs/a")
    assert error.value.hint == "go on with more: stop resume runs/a --max-tokens N"


async def test_who_waits_for_room_and_is_given_up_holds_nothing():
    ledger = Ledger(Budget(lm_calls=1))
    with ledger.reserve(ONE):
        waiting = asyncio.create_task(ledger.room(ONE))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(ledger.room(ONE), 1)
    assert ledger.run.reserved == Spending()


def test_what_is_under_way_counts():
    ledger = Ledger(Budget(lm_calls=2))
    with (
        ledger.reserve(ONE),
        ledger.reserve(ONE),
        pytest.raises(BudgetExceeded) as error,
        ledger.reserve(ONE),
    ):
        pass
    assert error.value.resource == "lm_calls"
    assert error.value.exit_code == 3


def test_a_failed_request_is_given_back():
    ledger = Ledger(Budget(lm_calls=1))
    with pytest.raises(RuntimeError), ledger.reserve(ONE):
        raise RuntimeError("the server is gone")
    with ledger.reserve(ONE) as reservation:
        reservation.settle(ONE)
    assert ledger.spent.lm_calls == 1


def test_a_round_ends_before_the_run_and_the_next_one_begins_with_nothing():
    ledger = Ledger(Budget(lm_calls=3))
    first = ledger.begin_round(1, Budget(lm_calls=2))
    _spend(ledger, 2)
    with pytest.raises(BudgetExceeded) as error:
        _spend(ledger, 1)
    assert error.value.level == "round 1"
    error.value.run = Path("runs/a")
    assert error.value.hint.endswith("stop resume runs/a --round-max-lm-calls N")
    ledger.begin_round(2, Budget(lm_calls=2))
    _spend(ledger, 1)
    with pytest.raises(BudgetExceeded) as error:
        _spend(ledger, 1)
    assert error.value.level == "run"
    assert (first.spent.lm_calls, ledger.spent.lm_calls) == (2, 3)


def test_what_a_round_had_under_way_settles_in_its_own_account():
    ledger = Ledger(Budget())
    first = ledger.begin_round(1, Budget())
    with ledger.reserve(ONE) as late:
        second = ledger.begin_round(2, Budget())
        late.settle(ONE)
    assert (first.spent.lm_calls, second.spent.lm_calls, ledger.spent.lm_calls) == (1, 0, 1)


def _spend(ledger, calls):
    for _ in range(calls):
        with ledger.reserve(ONE) as reservation:
            reservation.settle(ONE)


def test_the_tightest_limit_is_shown_whatever_its_level():
    ledger = Ledger(Budget(lm_calls=10, usd=1.0))
    assert Ledger(Budget()).tightest() is None
    account = ledger.begin_round(3, Budget(lm_calls=4, seconds=10))
    _spend(ledger, 3)
    assert ledger.tightest() == ("round 3", "lm_calls", 0.75)
    account.watch.seconds = 9
    assert ledger.tightest() == ("round 3", "seconds", 0.9)


def test_unknown_prices_are_said_and_not_added_up():
    spent = Spending()
    spent.add(Spending(lm_calls=1, usd=0.5))
    spent.add(Spending(lm_calls=1, usd_unknown_calls=1))
    assert spent.to_dict()["usd"] is None
    assert spent.usd == 0.5


# --- limits as callers give them


def test_each_limit_finds_its_budget():
    given_ = {"max_usd": 1, "max_utility_calls": 9, "round_max_tokens": 5, "max_tokens": None,
              "improver_max_tokens": 7}  # fmt: skip
    assert run_budget(given_) == Budget(usd=1, utility_calls=9)
    assert round_budget(given_) == Budget(tokens=5)
    assert improver_budget(given_, ImproverBudget()) == ImproverBudget(tokens=7)
    raised = run_budget({"max_tokens": 8}, Budget(usd=1, tokens=2))
    assert raised == Budget(usd=1, tokens=8)
    assert {f"max_{name}" for name in Budget.__dataclass_fields__} == set(RunLimits.__annotations__)


def test_a_limit_that_is_none_is_a_mistake():
    given = {"tasks": "knapsack", "lm": "x"}
    with pytest.raises(ConfigError, match="no option 'max_dollars'"):
        rounds_config(**given, max_dollars=1)
    with pytest.raises(ConfigError, match="no option 'round_max_usd'"):
        improve_config(task="knapsack", lm="x", round_max_usd=1)
    for bad in (
        {"budget": Budget(responses=-1)},
        {"round_budget": Budget(usd=float("nan"))},
        {"improver_max_tokens": -1},
        {"max_usd": -1},
    ):
        with pytest.raises(ConfigError, match="at least 0, not"):
            rounds_config(**given, **bad)


@pytest.mark.parametrize("name", ["calls", "responses", "utility_calls", "max_response_tokens"])
def test_nothing_of_an_improver_run_can_be_zero(name):
    with pytest.raises(ConfigError, match=r"at least \d+, not 0"):
        rounds_config(tasks="knapsack", lm="x", **{name: 0})


# --- the budget of one improver run


class _Model:
    """Costs 10 + 10 tokens for each response, and at the most 10 + 50."""

    def __init__(self):
        self.asked = 0

    def worst_case(self, request):
        return Usage(10, 50 * request.n, 0.5)

    async def complete(self, request: LMRequest):
        self.asked += 1
        await asyncio.sleep(0)
        return LMResponse((Choice("x"),) * request.n, Usage(10, 10 * request.n, 0.1))


class _Utility:
    text, worst = "", 0.0

    async def score(self, source):
        await asyncio.sleep(0)
        return Score(1.0, "ok")


def _broker(budget, ledger=None):
    model = _Model()
    return model, Broker(_Utility(), model, budget, lambda _: None, ledger=ledger)


@pytest.mark.parametrize("budget", [ImproverBudget(tokens=99), ImproverBudget(usd=0.7)])
async def test_past_its_tokens_or_money_an_improver_s_calls_are_refused(budget):
    model, broker = _broker(budget)
    ask = {"expertise": "", "message": "m", "n": 1}
    replies = [await broker._serve("language_model", ask) for _ in range(4)]
    served = [r for r in replies if "responses" in r]
    assert len(served) == model.asked == 2 + (budget.usd is not None)
    assert "over_budget" in replies[-1]
    assert replies[-1]["times_used"] == len(served)


async def test_a_batch_is_answered_as_a_whole_or_not_at_all():
    model, broker = _broker(ImproverBudget(tokens=100))
    ask = {"expertise": "", "messages": ["a", "b"], "n": 1}
    assert "over_budget" in await broker._serve("language_model", ask)
    assert model.asked == 0
    one = {"expertise": "", "message": "a", "n": 1}
    both = await asyncio.gather(*(broker._serve("language_model", one) for _ in range(2)))
    assert all("responses" in reply for reply in both)  # the second waited for the first


async def test_utility_calls_count_in_the_round_and_the_run():
    ledger = Ledger(Budget(utility_calls=3))
    _, broker = _broker(ImproverBudget(), ledger)
    account = ledger.begin_round(1, Budget())
    call = broker._serve("utility", {"program": "x = 1"})
    results = await asyncio.gather(
        call,
        *(broker._serve("utility", {"program": None}) for _ in range(9)),
        return_exceptions=True,
    )
    assert sum(isinstance(r, BudgetExceeded) for r in results) == 7
    assert ledger.spent.utility_calls == account.spent.utility_calls == 3
    ledger.take_back(2, of_this_round=True)
    assert ledger.spent.utility_calls == account.spent.utility_calls == 1
    assert ledger.run.reserved == Spending()
    with ledger.reserve(ONE_UTILITY_CALL):  # what fails is made again
        pass
    assert ledger.spent.utility_calls == 1


# --- time


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_whatever_the_clock_does_no_step_counts_for_much_more_than_it_took(jumps):
    clock = Clock()
    watch = Stopwatch(5.0, clock)
    for jump in jumps:
        before = watch.seconds
        clock.now += jump
        watch.tick(1.0)
        assert 0 <= watch.seconds - before <= 6.0
        if 0 <= jump <= 6:
            assert watch.seconds - before == pytest.approx(jump, abs=1e-6)


async def test_a_machine_that_sleeps_does_not_end_the_work():
    clock = Clock()
    watch = Stopwatch(clock=clock)
    saved = []
    async with timed(watch, 60.0, save=saved.append):
        clock.now += 8 * 3600
        await asyncio.sleep(0.01)
        clock.now -= 30 * 3600
        await asyncio.sleep(0.01)
    assert watch.seconds <= 12
    assert saved == [watch.seconds]


async def test_time_ends_the_work_and_only_that():
    watch = Stopwatch()
    with pytest.raises(TimeUp):
        async with timed(watch, 0.05):
            await asyncio.sleep(600)
    assert watch.seconds >= 0.05
    with pytest.raises(TimeUp):  # nothing is left
        async with timed(watch, 0.05):
            await asyncio.sleep(600)
    with pytest.raises(TimeoutError):  # somebody else's
        async with timed(Stopwatch(), 60.0):
            raise TimeoutError
    outer, inner = Stopwatch(), Stopwatch()
    with pytest.raises(TimeUp):  # a limit of the run, inside of a round without one
        async with timed(outer, 0.05), timed(inner, 60.0):
            await asyncio.sleep(600)


async def test_time_that_cannot_be_saved_is_an_error_and_no_limit_without_effect(monkeypatch):
    monkeypatch.setattr("stop.budget.stopwatch.STEP", 0.01)
    monkeypatch.setattr("stop.budget.stopwatch.SAVE_EVERY", 1)
    calls = []

    def save(_):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        async with timed(Stopwatch(), 60.0, save=save):
            await asyncio.sleep(600)


def test_a_request_that_must_ask_again_holds_more_or_ends():
    """A server may bill answers without choices: they count before the next one is asked for."""
    ledger = Ledger(Budget(completion_tokens=100))
    with ledger.reserve(Spending(lm_calls=1, completion_tokens=40)) as reservation:
        ledger.widen(reservation, Spending(completion_tokens=30))  # is held already
        ledger.widen(reservation, Spending(completion_tokens=70))
        assert not ledger.has_room(Spending(completion_tokens=31))
        with pytest.raises(BudgetExceeded, match="completion_tokens"):
            ledger.widen(reservation, Spending(completion_tokens=101))
        assert ledger.has_room(Spending(completion_tokens=30))
        reservation.settle(Spending(completion_tokens=10))
    assert ledger.has_room(Spending(completion_tokens=90))
