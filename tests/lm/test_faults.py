"""Faults of a model's server: read without trust, recorded, and never hidden."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.budget import Budget, Ledger
from stop.errors import LMError, LMRequestRefused, LMUnavailable
from stop.lm import LMOptions, LMRequest, LMResponse, Usage, _clock
from stop.lm.faults import CallLog, FaultLog, Shown, Waiting
from stop.lm.remote.openai import OpenAIModel
from stop.lm.remote.wire import Failure, Reply, parse_reply, retry_after, status_failure
from stop.lm.tape import Tape, TapedModel
from stop.store import Store
from stop.store.faults import Faults
from stop.store.payments import Payments
from stop.testing.openai_server import Fault, OpenAIServer
from tests.helpers.recorded import start_improver_run

ASK = LMRequest("system", "message", max_tokens=100)


# --- reading what a server says


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 1.5 ", 1.5),
        ("604800", 604800),
        ("604801", None),
        ("999999999999999999999999", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1_000", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 99999999 23:59:59 GMT", None),
        ("Mon, " * 50_000, None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_retry_after_as_a_date_is_utc(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    try:
        date = formatdate(now + 100, usegmt=True).replace("GMT", zone)
        assert retry_after({"retry-after": date}) == 100
    finally:
        monkeypatch.undo()
        time.tzset()


def test_milliseconds_come_first() -> None:
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after-ms": "?", "retry-after": "9"}) == 9


@given(st.text(max_size=80) | st.floats().map(str) | st.datetimes().map(str))
def test_any_retry_after_is_a_wait_or_nothing(value: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: value})
        assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= 7 * 24 * 3600)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_CHOICE = st.fixed_dictionaries(
    {}, optional={"message": _JSON, "text": _JSON, "finish_reason": _JSON}
)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(_CHOICE | _JSON) | _JSON,
        "usage": st.dictionaries(
            st.sampled_from(["prompt_tokens", "completion_tokens", "prompt_tokens_details"]), _JSON
        )
        | _JSON,
        "model": _JSON,
        "error": _JSON,
    },
)


@given(_BODY | _JSON)
def test_any_json_is_a_reply_or_a_failure(body: Any) -> None:
    outcome = parse_reply(json.dumps(body).encode(), str)
    if isinstance(outcome, Failure):
        assert outcome.reason
        return
    assert isinstance(outcome, Reply)
    for count in (outcome.prompt_tokens, outcome.completion_tokens, outcome.cached_tokens):
        assert count is None or 0 <= count <= 10**9
    for choice in outcome.choices:
        choice.text.encode()
        assert choice.finish_reason


@given(st.binary(max_size=300))
def test_any_bytes_are_a_reply_or_a_failure(body: bytes) -> None:
    assert isinstance(parse_reply(body, str), Failure | Reply)


@given(st.integers(300, 999), _JSON | st.dictionaries(st.just("error"), _JSON))
def test_any_error_is_a_failure(status: int, body: Any) -> None:
    failure = status_failure(status, body, {}, str)
    assert failure.retry or not failure.server
    assert failure.reason == str(status)


@pytest.mark.parametrize("nasty", ["[" * 262_144, '"' * 262_144, "<" * 262_144, "x \x00" * 87_000])
def test_long_nonsense_is_read_quickly(nasty: str) -> None:
    from stop.lm.redact import clean

    began = time.thread_time()
    key = "sk-" + "x" * 40
    assert isinstance(parse_reply(nasty.encode(), lambda text: clean(text, key)), Failure)
    status_failure(500, {"error": {"message": nasty, "code": nasty}}, {}, lambda t: clean(t, key))
    assert time.thread_time() - began < 2


def _failure(message: str, code: str | None = None, **headers: str) -> Failure:
    return status_failure(429, {"error": {"message": message, "code": code}}, headers, str)


def test_a_rate_limit_that_mentions_billing_is_waited_for() -> None:
    words = "Rate limit reached for requests. Add a payment method at https://x/account/billing."
    assert _failure(words, "rate_limit_exceeded").retry
    minute = "You exceeded your current quota, please check your plan and billing details."
    assert _failure(minute, None, **{"retry-after": "20"}).retry
    assert not _failure(minute).retry
    assert not _failure("…", "insufficient_quota", **{"retry-after": "20"}).retry
    assert not _failure("Your account is not active", "billing_not_active").retry


# --- a run's view of it


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "run.db")
    yield opened
    opened.close()


class World:
    """A taped model of a server, with its ledger and faults."""

    def __init__(self, store: Store, server: OpenAIServer, **options: Any) -> None:
        self.store = store
        self.faults = Faults(store)
        self.shown: list[Shown] = []
        self.log = FaultLog(self.faults, self.shown.append)
        self.ledger = Ledger(Budget(tokens=100_000))
        self.lm = OpenAIModel("m", LMOptions(base_url=server.base_url, **options))
        start_improver_run(store, "run/a")
        self.taped = TapedModel(
            self.lm,
            Tape(store, self.ledger, b"secret", self.log),
            scope="t/0",
            improver_run="run/a",
            max_responses=1000,
            on_call=lambda *_: None,
        )

    async def ask(self, request: LMRequest = ASK) -> LMResponse:
        return await self.taped.complete(request)

    async def fails(self, request: LMRequest = ASK) -> LMError:
        with pytest.raises(LMError) as caught:
            await self.ask(request)
        return caught.value

    def counts(self) -> dict[str, tuple[int, int]]:
        return {each.reason: (each.count, each.ended) for each in self.faults.counts()}


async def test_each_fault_is_recorded_with_its_improver_run(store: Store) -> None:
    faults = [Fault.status(429, "slow", retry_after="30"), Fault.status(500, "oops"), Fault("html")]
    began = time.time()
    with OpenAIServer(["a"], faults=faults) as server:
        world = World(store, server)
        await world.ask()
    assert world.counts() == {"429": (1, 0), "500": (1, 0), "web page": (1, 0)}
    first = store.query("SELECT * FROM lm_faults ORDER BY id").fetchone()
    assert first["improver_run"] == "run/a"
    assert first["model"] == "openai:m"
    assert first["detail"] == "slow"
    assert 30 <= first["seconds"] <= 31.5
    assert began <= first["at"] <= time.time()
    assert isinstance(world.shown[0], Waiting)
    assert "busy" in world.shown[0].text


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.status(401, "revoked"), "401"),
        (Fault.status(400, "context_length_exceeded: maximum context"), "400"),
        (Fault.status(400, "strange"), "400"),
        (Fault.status(429, "…", error_code="insufficient_quota"), "429"),
        (Fault("html", count=9), "web page"),
        (Fault("fewer", choices=0, count=9), "fewer choices"),
    ],
)
async def test_a_request_that_fails_for_good_is_recorded(
    store: Store, fault: Fault, reason: str
) -> None:
    with OpenAIServer(["a"], faults=[fault]) as server:
        world = World(store, server)
        await world.fails()
        sent = len(server.received)
    assert world.counts() == {reason: (sent, 1)}


async def test_a_model_that_tells_nothing_has_its_errors_recorded(store: Store) -> None:
    with OpenAIServer() as server:
        world = World(store, server)

        async def complete(request: LMRequest) -> LMResponse:
            raise LMUnavailable("the person went home")

        world.lm.complete = complete  # type: ignore[method-assign]
        await world.fails()
    assert world.counts() == {"unavailable": (1, 1)}
    assert world.ledger.spent.tokens == 0


async def test_a_key_revoked_in_the_middle_ends_it_at_once(store: Store) -> None:
    with OpenAIServer(["a"], key="key") as server:
        world = World(store, server, api_key="key")
        await world.ask()
        server.key = "another"
        error = await world.fails()
        assert len(server.received) == 2
    assert isinstance(error, LMUnavailable)
    assert "took before" in error.message
    error.run = Path("runs/a")
    assert error.hint.endswith("then go on: stop resume runs/a")
    assert world.ledger.spent.lm_calls == 1
    assert Payments(store).spent().lm_calls == 1


async def test_replies_that_came_before_a_failure_are_spent(store: Store) -> None:
    """Asked for one by one: two replies come, then the key is refused."""
    with OpenAIServer(["word " * 40], honours_n=False) as server:
        world = World(store, server, max_concurrency=1)
        await world.ask(LMRequest("s", "first", n=3, max_tokens=100))  # learns to ask one by one
        await world.ask(LMRequest("s", "one", max_tokens=100))
        query = "SELECT completion_tokens FROM lm_calls ORDER BY id DESC"
        (one,) = store.query(query).fetchone()
        before = Payments(store).spent()
        server.add_faults(Fault("slow", count=2), Fault.status(403, "gone", count=9))
        await world.fails(LMRequest("s", "one", n=5, max_tokens=100))
    after = Payments(store).spent()
    assert after.completion_tokens - before.completion_tokens == 2 * one
    assert after.lm_calls - before.lm_calls == 1
    assert world.ledger.spent.tokens == after.tokens
    assert world.ledger.run.reserved.tokens == 0


async def test_a_request_that_was_refused_cost_nothing(store: Store) -> None:
    with OpenAIServer(faults=[Fault.status(400, "content_filter policy")]) as server:
        world = World(store, server)
        assert isinstance(await world.fails(), LMRequestRefused)
    assert Payments(store).spent().tokens == world.ledger.spent.tokens == 0


async def test_what_was_cut_off_counts_at_its_worst_and_once(store: Store) -> None:
    with OpenAIServer(faults=[Fault("reset", count=99)]) as server:
        world = World(store, server, patience=20)
        worst = world.lm.worst_case(ASK)
        await world.fails()
        assert len(server.received) > 2
    spent = Payments(store).spent()
    assert (spent.prompt_tokens, spent.completion_tokens) == (
        worst.prompt_tokens,
        worst.completion_tokens,
    )
    assert world.ledger.spent.tokens == spent.tokens


async def test_who_waits_for_the_server_and_is_given_up_has_cost_nothing(store: Store) -> None:
    with OpenAIServer(["a"]) as server:
        world = World(store, server)
        await world.ask()
    spent = Payments(store).spent()
    waits = asyncio.Event()
    world.log.show = lambda _: waits.set()
    task = asyncio.create_task(world.ask(LMRequest("s", "away")))
    async with asyncio.timeout(60):
        await waits.wait()
    await world.taped._tape.aclose(0.0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Payments(store).spent() == spent
    assert world.ledger.spent.tokens == spent.tokens


async def test_silence_is_told_while_it_lasts_only() -> None:
    shown: list[Shown] = []
    log = FaultLog(show=shown.append)
    call = CallLog(log, "run/a", "openai:m")
    call.fault("connection", "refused", 1.0)
    assert log.silence() == ""  # one fault is no silence yet
    await _clock.pause(60)
    assert "openai:m" in log.silence()
    assert "connection ×1" in log.silence()
    call.waiting(Waiting("whatever", "connection", 30, 60))
    assert isinstance(shown[0], Waiting)
    assert shown[0].model == "openai:m"
    call.answered()
    assert log.silence() == ""
    assert isinstance(shown[1], str)
    assert "answers again" in shown[1]
    call.fault("400", "refused", 0.0, answered=True)
    await _clock.pause(60)
    assert log.silence() == ""


def test_asking_again_counts_what_is_paid() -> None:
    call, wanted = CallLog(FaultLog(), "run/a", "openai:m"), []
    call.widen = wanted.append
    call.paid_for.append(Usage(10, 5, usd=0.1))
    call.paid_for.append(Usage(10, 0, usd=0.1))
    call.asks_again(Usage(10, 100, usd=0.5))
    assert wanted == [Usage(30, 105, usd=pytest.approx(0.7))]
