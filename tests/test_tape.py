"""The tape: nothing is paid twice, and improvers that ask the same meet the same luck."""

from __future__ import annotations

import asyncio

import pytest

from stop.budget import Budget, Ledger, Spending
from stop.errors import BudgetExceeded, LMRequestRefused, LMUnavailable
from stop.lm.base import LMRequest
from stop.lm.scripted import ScriptedLM
from stop.lm.tape import Place, Tape, TapedModel, sampling_seed
from stop.programs import program_id
from stop.store import Store
from stop.store.payments import Payments
from tests.helpers.recorded import start_improver_run
from tests.helpers.waiting import until


@pytest.fixture
def world(tmp_path):
    """make(key, scope) -> a taped model; all share one store and one scripted model."""
    store = Store(tmp_path / "run.db")
    model = ScriptedLM([f"reply {i}" for i in range(100)])
    ledger = Ledger(Budget(lm_calls=20))

    def make(key, scope="t/0", tape=None):
        start_improver_run(store, key)
        return TapedModel(
            model,
            tape or Tape(store, ledger, b"secret"),
            scope=scope,
            improver_run=key,
            max_responses=1000,
            on_call=lambda *_: None,
        )

    make.store, make.model, make.ledger = store, model, ledger
    yield make
    store.close()


ASK = LMRequest("", "hello")


async def test_executed_again_it_meets_its_responses_in_order(world):
    first = world("a")
    texts = [(await first.complete(ASK)).texts for _ in range(3)]
    assert texts == [["reply 0"], ["reply 1"], ["reply 2"]]
    again = world("a")
    assert [(await again.complete(ASK)).texts for _ in range(3)] == texts
    assert (await again.complete(ASK)).texts == ["reply 3"]
    assert world.ledger.spent.lm_calls == 4
    assert world.store.spending().lm_calls == 4


async def test_another_improver_in_the_same_place_meets_the_same_luck(world):
    assert (await world("a").complete(ASK)).texts == (await world("b").complete(ASK)).texts
    assert (await world("c", scope="t/1").complete(ASK)).texts == ["reply 1"]


async def test_who_asks_the_same_at_once_waits_and_does_not_pay(world):
    tape = Tape(world.store, world.ledger, b"secret")
    models = [world(key, tape=tape) for key in "abcdef"]
    responses = await asyncio.gather(*(model.complete(ASK) for model in models))
    assert {tuple(r.texts) for r in responses} == {("reply 0",)}
    assert world.ledger.spent.lm_calls == 1


async def test_the_response_is_durable_before_it_is_used(world, tmp_path):
    await world("a").complete(ASK)
    reader = Store(tmp_path / "run.db", read_only=True)
    assert reader.recorded(Place("t/0", "a", ASK, 0)).texts == ["reply 0"]
    reader.close()


async def test_concurrent_calls_at_the_limit_exactly_n_succeed(world):
    requests = [LMRequest("", f"message {i}") for i in range(30)]
    model = world("a")
    results = await asyncio.gather(*map(model.complete, requests), return_exceptions=True)
    refused = [r for r in results if isinstance(r, BudgetExceeded)]
    assert len(refused) == 10
    assert world.ledger.spent.lm_calls == 20


async def test_a_prompt_without_room_is_refused_before_it_costs(world, monkeypatch):
    monkeypatch.setattr(ScriptedLM, "context_tokens", 100)
    with pytest.raises(LMRequestRefused, match="100 tokens"):
        await world("a").complete(LMRequest("", "x" * 10_000))
    assert world.ledger.spent.lm_calls == 0


def test_the_store_keeps_what_a_guest_sends_beside_unicode(world):
    identity = world.store.add_program("'\ud800'", "solution")
    assert identity == program_id("'\ud800'")
    assert world.store.program(identity).source == "'\\ud800'"


async def test_runs_sample_independently_and_one_run_repeats_itself(world):
    """Sampling seeds: the same for the same run and request, others in another run."""

    async def seed(secret, key):
        tape = Tape(world.store, world.ledger, secret)
        await world(key, scope=key, tape=tape).complete(ASK)
        return world.model.requests[-1].seed

    assert await seed(b"a", "x") == sampling_seed(b"a", "x", ASK.key, 0)
    assert await seed(b"b", "y") == sampling_seed(b"b", "y", ASK.key, 0)
    assert sampling_seed(b"a", "z", ASK.key, 0) != sampling_seed(b"b", "z", ASK.key, 0)


async def test_p89_what_one_improver_asks_does_not_change_what_the_next_hears(world):
    """Texts are kept by request: no improver can put words into another one's answers."""
    honest = (await world("a", "t/0").complete(ASK)).texts
    hostile = world("b", "t/1")
    for odd in (
        LMRequest("", "hello\n"),
        LMRequest("", "hello", 2),
        LMRequest("", "hello", 1, 0.0),
        LMRequest("reply 99", "hello"),
    ):
        await hostile.complete(odd)
    assert (await world("c", "t/0").complete(ASK)).texts == honest


# --- what counts against the budget, also after a crash


class Slow(ScriptedLM):
    """Answers when it is told to; `fails` is raised instead."""

    def __init__(self):
        super().__init__(["reply"])
        self.go, self.fails = asyncio.Event(), None

    async def complete(self, request):
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return await super().complete(request)


@pytest.fixture
def slow(tmp_path):
    """make(budget) -> (taped model, model, ledger, store)"""
    stores = []

    def make(budget):
        store = Store(tmp_path / "slow.db")
        stores.append(store)
        start_improver_run(store, "a")
        model, ledger = Slow(), Ledger(budget, Payments(store).spent())
        tape = Tape(store, ledger, b"secret")
        taped = TapedModel(
            model, tape, scope="t/0", improver_run="a", max_responses=1000, on_call=lambda *_: None
        )
        return taped, model, ledger, store

    yield make
    for store in stores:
        store.close()


def _open_requests(store):
    return store.query("SELECT COUNT(*) FROM lm_requests WHERE state = 'open'").fetchone()[0]


async def test_a_request_given_up_counts_as_the_worst_also_after_a_restart(slow):
    taped, _, ledger, store = slow(Budget())
    task = asyncio.create_task(taped.complete(ASK))
    await until(lambda: ledger.run.reserved.lm_calls == 1, "the reservation")
    await taped._tape.aclose(0)
    await asyncio.gather(task, return_exceptions=True)
    worst = taped._worst(ASK)
    assert ledger.spent == Payments(store).spent() == worst
    assert ledger.run.reserved == Spending()
    assert store.spending() == Spending()  # no response


async def test_a_request_that_a_crash_cut_off_counts_as_the_worst(slow):
    taped, _, _, store = slow(Budget())
    task = asyncio.create_task(taped.complete(ASK))
    await until(lambda: _open_requests(store), "the note of the request")
    again = slow(Budget(lm_calls=1))
    store.close_requests()  # as the next session does
    assert Payments(store).spent() == taped._worst(ASK)
    again[2].run.spent = Payments(store).spent()
    with pytest.raises(BudgetExceeded):
        await again[0].complete(ASK)
    task.cancel()
    await taped._tape.aclose(0)


async def test_a_request_that_cost_nothing_is_given_back(slow):
    taped, model, ledger, store = slow(Budget(lm_calls=1))
    model.go.set()
    model.fails = LMUnavailable("nobody there")
    with pytest.raises(LMUnavailable):
        await taped.complete(ASK)
    assert ledger.spent == Payments(store).spent() == Spending()
    model.fails = None
    await taped.complete(ASK)
    store.close_requests()
    assert ledger.spent == Payments(store).spent()
    assert ledger.spent.lm_calls == 1


async def test_who_waits_for_room_and_is_not_wanted_any_more_sends_nothing(slow):
    request = LMRequest("", "hello", max_tokens=100)
    taped, model, ledger, _ = slow(Budget(completion_tokens=150))
    first = asyncio.create_task(taped.complete(request))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(taped.complete(LMRequest("", "another", max_tokens=100)))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    third = asyncio.create_task(taped.complete(LMRequest("", "a third", max_tokens=100)))
    await asyncio.sleep(0.01)
    assert not third.done()
    model.go.set()
    await asyncio.gather(first, third)
    assert [r.message for r in model.requests] == ["hello", "a third"]
    assert ledger.spent.lm_calls == 2


async def test_each_request_counts_in_the_round_in_which_it_was_sent(slow):
    taped, model, ledger, store = slow(Budget())
    model.go.set()
    rounds = []
    for number in (1, 2):
        rounds.append(ledger.begin_round(number, Budget()))
        await taped.complete(LMRequest("", f"in round {number}"))
        await taped.complete(LMRequest("", "in each", n=number))
    ledger.end_round()
    await taped.complete(LMRequest("", "outside"))
    payments = Payments(store)
    assert [payments.spent(n) for n in (1, 2)] == [each.spent for each in rounds]
    assert payments.spent() == ledger.spent
    assert (rounds[1].spent.responses, ledger.spent.responses) == (3, 6)
    assert payments.rounds() == [1, 2]


def test_utility_calls_of_an_improver_run_that_is_executed_again_count_once(slow):
    _, _, _, store = slow(Budget())
    payments = Payments(store)
    assert store.begin_execution("a", 1) == (0, None)
    for _ in range(3):
        store.add_utility_call("a", None, 0.0, "ok")
    assert payments.spent(1).utility_calls == payments.spent().utility_calls == 3
    assert store.begin_execution("a", 2) == (3, 1)
    store.add_utility_call("a", None, 0.0, "ok")
    assert [payments.spent(n).utility_calls for n in (None, 1, 2)] == [1, 0, 1]
