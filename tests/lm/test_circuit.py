"""A server that is away: requests wait together, and it costs time only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.errors import LMUnavailable
from stop.lm import LMOptions, LMRequest, _clock
from stop.lm.faults import CallLog, FaultLog, Waiting, listening
from stop.lm.remote.circuit import THRESHOLD, Circuit
from stop.lm.remote.openai import OpenAIModel
from stop.lm.remote.wire import Failure
from stop.testing.openai_server import Fault, OpenAIServer, refused_url

AWAY = Failure("connection", "refused", retry=True, server=True)
BUSY = Failure("429", "busy", retry=True, status=429)


class Watcher(CallLog):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        super().__init__(FaultLog(), "run", "openai:m")
        self.waits: list[Waiting] = []
        self.faults: list[tuple[str, float]] = []

    def waiting(self, waiting: Waiting) -> None:
        self.waits.append(waiting)

    def fault(self, reason: str, detail: str, seconds: float, *, answered: bool = False) -> None:
        self.faults.append((reason, seconds))


@pytest.fixture
def on_pause(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> list[Callable[[], None]]:
    """Called after each pause of the virtual clock."""
    hooks: list[Callable[[], None]] = []
    pause = _clock.pause

    async def with_hooks(seconds: float) -> None:
        await pause(seconds)
        for hook in hooks:
            hook()

    monkeypatch.setattr(_clock, "pause", with_hooks)
    return hooks


async def test_ten_minutes_without_a_server_cost_time_only(
    on_pause: list[Callable[[], None]],
) -> None:
    first = OpenAIServer(["first"])
    port = int(first.base_url.split(":")[2].split("/")[0])
    lm = OpenAIModel("m", LMOptions(base_url=first.base_url))
    await lm.complete(LMRequest("s", "before"))
    first.close()
    began = _clock.now()
    second: list[OpenAIServer] = []

    def come_back() -> None:
        if not second and _clock.now() - began >= 600:
            second.append(OpenAIServer(list("abcdefghijklmnopqrst"), port=port))

    on_pause.append(come_back)
    watcher = Watcher()
    with listening(watcher):
        answers = await asyncio.gather(*(lm.complete(LMRequest("s", f"{i}")) for i in range(20)))
    await lm.aclose()
    second[0].close()
    assert sorted(text for answer in answers for text in answer.texts) == list(
        "abcdefghijklmnopqrst"
    )
    assert len(second[0].received) == 20  # each was served once: nothing is paid twice
    assert 600 <= _clock.now() - began < 680
    assert len(watcher.faults) < 30  # not twenty requests times twenty tries
    assert all(reason == "connection" for reason, _ in watcher.faults)
    seconds = sum(seconds for _, seconds in watcher.faults)
    assert 550 < seconds < 720  # lost, and counted once for all who waited
    assert "stop resume" in watcher.waits[-1].text
    gaps = [wait.seconds for wait in watcher.waits]
    assert max(gaps) <= 75
    assert gaps[0] < gaps[3] < gaps[4]


async def test_patience_ends_for_all_at_once() -> None:
    with OpenAIServer() as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url, patience=900))
        await lm.complete(LMRequest("s", "before"))
    began = _clock.now()
    watcher = Watcher()
    with listening(watcher):
        errors = await asyncio.gather(
            *(lm.complete(LMRequest("s", f"{i}")) for i in range(8)), return_exceptions=True
        )
    await lm.aclose()
    assert all(isinstance(error, LMUnavailable) for error in errors)
    assert 890 < _clock.now() - began < 960
    assert len(watcher.faults) < 40
    message = str(errors[0])
    assert "has not answered for 9" in message
    assert "connection ×" in message
    assert isinstance(errors[0], LMUnavailable)
    errors[0].run = Path("runs/a")
    assert errors[0].hint.endswith("stop resume runs/a")


async def test_after_giving_up_a_new_request_begins_anew(
    on_pause: list[Callable[[], None]],
) -> None:
    with OpenAIServer() as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url, patience=50))
        await lm.complete(LMRequest("s", "before"))
        port = int(server.base_url.split(":")[2].split("/")[0])
    with pytest.raises(LMUnavailable, match="has not answered"):
        await lm.complete(LMRequest("s", "away"))
    with OpenAIServer(["back"], port=port):
        assert (await lm.complete(LMRequest("s", "again"))).texts == ["back"]
    await lm.aclose()


async def test_a_server_that_never_was_is_not_waited_for_together() -> None:
    began = _clock.now()
    with refused_url() as url:
        lm = OpenAIModel("m", LMOptions(base_url=url))
        errors = await asyncio.gather(
            *(lm.complete(LMRequest("s", f"{i}")) for i in range(4)), return_exceptions=True
        )
        await lm.aclose()
    assert all(isinstance(error, LMUnavailable) for error in errors)
    assert _clock.now() - began < 45


async def test_retry_after_of_an_outage_is_respected() -> None:
    fault = Fault.status(503, "maintenance", retry_after="120", count=4)
    watcher = Watcher()
    with OpenAIServer(["a"], faults=[fault]) as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url))
        with listening(watcher):
            assert (await lm.complete(LMRequest("s", "m"))).texts == ["a"]
        await lm.aclose()
    assert all(120 <= wait.seconds < 127 for wait in watcher.waits)


async def test_an_outage_that_is_to_last_longer_than_patience_ends_at_once() -> None:
    began = _clock.now()
    with OpenAIServer(["a"], faults=[Fault.status(503, retry_after="86400", count=99)]) as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url))
        with pytest.raises(LMUnavailable, match="86400 s, more than our patience"):
            await lm.complete(LMRequest("s", "m"))
        await lm.aclose()
    assert _clock.now() - began < 10


async def test_one_bad_request_stops_nobody() -> None:
    """Refusals and 429 are about a request, however many come in a row."""
    circuit = Circuit("m", 900, lambda: True)

    async def refused() -> str | Failure:
        return BUSY

    for _ in range(10):
        assert await circuit.send(refused) is BUSY
        assert circuit.until_next is None


async def _open(circuit: Circuit) -> None:
    async def away() -> str | Failure:
        return AWAY

    for _ in range(THRESHOLD):
        await circuit.send(away)
    assert circuit.until_next is not None


async def test_a_try_that_is_cancelled_is_taken_over() -> None:
    circuit = Circuit("m", 900, lambda: True)
    await _open(circuit)
    trying = asyncio.Event()

    async def hang() -> str | Failure:
        trying.set()
        await asyncio.Event().wait()
        return "never"

    async def answer() -> str | Failure:
        return "answer"

    stuck = asyncio.create_task(circuit.send(hang))
    await trying.wait()
    other = asyncio.create_task(circuit.send(answer))
    await asyncio.sleep(0.01)
    assert not other.done()
    stuck.cancel()
    assert await asyncio.wait_for(other, 60) == "answer"
    assert circuit.until_next is None


async def test_an_answer_to_an_earlier_request_lets_all_go_on() -> None:
    circuit = Circuit("m", 900, lambda: True)
    late = asyncio.Event()

    async def slow() -> str | Failure:
        await late.wait()
        return "slow"

    async def hang() -> str | Failure:
        await asyncio.Event().wait()
        return "never"

    async def answer() -> str | Failure:
        return "answer"

    earlier = asyncio.create_task(circuit.send(slow))
    await asyncio.sleep(0)
    await _open(circuit)
    trying = asyncio.create_task(circuit.send(hang))
    waiting = [asyncio.create_task(circuit.send(answer)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    late.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == ["answer"] * 5
    assert await earlier == "slow"
    trying.cancel()


@settings(max_examples=60)
@given(
    script=st.lists(st.sampled_from(["answer", "away", "busy", "cancel"]), max_size=60),
    width=st.integers(1, 6),
)
def test_whatever_happens_all_end_and_one_at_a_time_tries(script: list[str], width: int) -> None:
    asyncio.run(_play(script, width))


async def _play(script: list[str], width: int) -> None:
    circuit = Circuit("m", 900, lambda: True)
    left = list(script)
    trying = 0

    async def attempt() -> str | Failure:
        nonlocal trying
        is_try = circuit.until_next is not None
        assert not (is_try and trying), "two try a server that is away"
        trying += is_try
        try:
            await asyncio.sleep(0)
            what = left.pop(0) if left else "answer"
            if what == "cancel":
                raise asyncio.CancelledError
            return {"answer": "answer", "away": AWAY, "busy": BUSY}[what]
        finally:
            trying -= is_try

    async def request() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                outcome = await circuit.send(attempt)
                if outcome == "answer" or (isinstance(outcome, Failure) and outcome.outage):
                    return

    await asyncio.wait_for(asyncio.gather(*(request() for _ in range(width))), 20)
    assert trying == 0
