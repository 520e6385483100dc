"""The OpenAI adapter against a server that misbehaves to order."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import traceback
import urllib.request
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import stop.lm
from stop.errors import ConfigError, LMError, LMRequestRefused, LMUnavailable
from stop.lm import Choice, LMOptions, LMRequest, LMResponse
from stop.lm.remote import exchange
from stop.lm.remote.openai import OpenAIModel
from stop.lm.remote.wire import Failure, Reply, parse_reply
from stop.testing.openai_server import Fault, OpenAIServer, refused_url

KEY = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
LONG = "def f(values):\n    return sorted(values)[0]\n" * 8


async def ask(
    server: OpenAIServer, request: LMRequest | None = None, **options: object
) -> LMResponse:
    lm = OpenAIModel("m", LMOptions(base_url=server.base_url, **options))  # type: ignore[arg-type]
    try:
        return await lm.complete(request or LMRequest("system", "message"))
    finally:
        await lm.aclose()


async def refused(
    server: OpenAIServer, request: LMRequest | None = None, **options: object
) -> LMError:
    with pytest.raises(LMError) as caught:
        await ask(server, request, **options)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.status(429), "429"),
        (Fault.status(408), "408"),
        (Fault.status(409), "409"),
        (Fault.status(500), "500"),
        (Fault.status(503), "503"),
        (Fault("reset"), "connection"),
        (Fault("refuse"), "connection"),
        (Fault("malformed"), "malformed"),
        (Fault("html"), "web page"),
        (Fault("slow", seconds=60), "timeout"),
        (Fault("trickle", seconds=60), "timeout"),
        (Fault.status(502), "502"),
        (Fault.status(529, "Overloaded"), "529"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
async def test_passing_faults_are_tried_again(
    fault: Fault, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(["a"], faults=[fault, fault]) as server:
        if reason == "timeout":

            async def impatient(client: object, body: object, seconds: float, **rest: Any) -> Any:
                """The third attempt has its time, however busy this machine is."""
                short = 60 if len(server.received) == 2 else 0.2
                return await exchange.exchange(client, body, short, **rest)  # type: ignore[arg-type]

            monkeypatch.setattr("stop.lm.remote.openai.exchange", impatient)
        response = await ask(server)
    assert response.texts[0] == "a"
    assert response.faults == (reason, reason)
    assert response.retries == 2
    assert len(server.received) == 3


async def test_retry_after_is_honoured(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    date = formatdate(now + 30, usegmt=True)
    faults = [Fault.status(429, retry_after="7"), Fault.status(503, retry_after=date)]
    with OpenAIServer(faults=faults) as server:
        await ask(server)
    assert 7 <= pauses[0] < 7.5
    assert 30 <= pauses[1] < 31.5


async def test_pauses_grow_with_jitter(pauses: list[float]) -> None:
    with OpenAIServer(faults=[Fault.status(500, count=6)]) as server:
        await ask(server)
    assert len(pauses) == 6
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 32
    assert any(pause % 1 for pause in pauses)


async def test_patience_ends(pauses: list[float]) -> None:
    with OpenAIServer(faults=[Fault.status(429, "slow down", count=99)]) as server:
        error = await refused(server, patience=20)
    assert isinstance(error, LMUnavailable)
    assert "429 ×" in error.message
    assert "slow down" in error.message
    assert max(pauses) <= 20


async def test_a_wait_beyond_patience_fails_at_once(pauses: list[float]) -> None:
    with OpenAIServer(faults=[Fault.status(429, retry_after="7200")]) as server:
        error = await refused(server)
    assert not pauses
    assert "7200" in error.message


async def test_a_server_that_never_was_is_given_up_early(pauses: list[float]) -> None:
    with refused_url() as url:
        lm = OpenAIModel("m", LMOptions(base_url=url))
        with pytest.raises(LMUnavailable, match="connection") as caught:
            await lm.complete(LMRequest("s", "m"))
        await lm.aclose()
    assert url in caught.value.message
    assert len(pauses) < 8


async def test_no_json_for_ever_is_given_up() -> None:
    with OpenAIServer(faults=[Fault("html", count=99)]) as server:
        error = await refused(server)
    assert "/v1" in error.hint
    assert len(server.received) == 5


async def test_refused_key_is_not_tried_again_and_not_shown() -> None:
    with OpenAIServer(key="another") as server:
        error = await refused(server, api_key=KEY)
    assert isinstance(error, LMUnavailable)
    assert len(server.received) == 1
    assert "OPENAI_API_KEY" in error.hint
    shown = "".join(traceback.format_exception(error)) + repr(error.__dict__)
    assert KEY not in shown
    assert "AbCdEfGh" not in shown
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize("code", [400, 403, 404, 422, 429, 500])
async def test_no_error_shows_the_key(code: int) -> None:
    words = f"bad key {KEY}, also {KEY[:20]}… and {KEY[9:30]}\x00\x1b[31m" + "x" * 2000
    with OpenAIServer(faults=[Fault.status(code, words, count=99)]) as server:
        error = await refused(server, api_key=KEY, patience=3)
    assert not any(KEY[i : i + 8] in str(error) for i in range(len(KEY) - 8))
    assert "\x1b" not in str(error)
    assert len(str(error)) < 600


async def test_key_is_not_in_reprs() -> None:
    lm = OpenAIModel("m", LMOptions(base_url="http://u:secretword@127.0.0.1:1/v1", api_key=KEY))
    assert KEY not in repr(lm) + repr(lm._options)
    assert "secretword" not in repr(lm) + lm.base_url
    with OpenAIServer(key=KEY) as server:
        assert (await ask(server, api_key=f" {KEY}\n")).texts == ["ok"]


async def test_unknown_model() -> None:
    with OpenAIServer(models=["other"]) as server:
        error = await refused(server)
        assert server.base_url in error.message
    assert isinstance(error, LMUnavailable)
    assert "'m'" in error.message


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(400, "maximum context length is 10", error_code="context_length_exceeded"),
        Fault.status(400, "exceeds the available context size", error_code="x"),
        Fault.status(500, "Context size has been exceeded."),
        Fault.status(413, "too large"),
        Fault.status(400, "The response was filtered: content management policy"),
        Fault.status(400, "max_tokens is too large: 9. at most 5", param="max_tokens"),
        Fault.status(418, "teapot"),
    ],
)
async def test_refusals_concern_one_request(fault: Fault) -> None:
    with OpenAIServer(faults=[fault]) as server:
        error = await refused(server)
    assert isinstance(error, LMRequestRefused)
    assert fault.error is not None
    assert fault.error["message"] in error.message
    assert len(server.received) == 1


async def test_no_credit_is_not_waited_for() -> None:
    fault = Fault.status(429, "You exceeded your current quota", error_code="insufficient_quota")
    with OpenAIServer(faults=[fault]) as server:
        error = await refused(server)
    assert isinstance(error, LMUnavailable)
    assert "credit" in error.message


@pytest.mark.parametrize("name", ["max_tokens", "seed", "temperature", "n"])
async def test_refused_parameters_are_learnt_once(name: str) -> None:
    request = LMRequest("s", "m", n=2, seed=5, temperature=0.2)
    with OpenAIServer(["a", "b"], refused=[name]) as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url))
        first = await lm.complete(request)
        sent = len(server.received)
        second = await lm.complete(request)
        await lm.aclose()
        assert sorted(first.texts) == ["a", "b"]
        assert first.faults[0] == "parameter"
        assert second.faults == ()
        assert not any(name in item.body for item in server.received[sent:])
    if name == "max_tokens":
        assert server.received[-1].body["max_completion_tokens"] == request.max_tokens


async def test_two_refused_parameters() -> None:
    with OpenAIServer(refused=["seed", "temperature", "max_tokens"]) as server:
        assert (await ask(server, LMRequest("s", "m", seed=1))).texts == ["ok"]
    with OpenAIServer(refused=["max_tokens", "max_completion_tokens"]) as server:
        assert isinstance(await refused(server), LMRequestRefused)


async def test_refused_system_role_leads_the_message() -> None:
    fault = Fault.status(
        400, "Unsupported value: 'messages[0].role' does not support 'system'", param="messages"
    )
    with OpenAIServer(faults=[fault]) as server:
        await ask(server, LMRequest("be good", "do it"))
    messages = server.received[-1].body["messages"]
    assert messages == [{"role": "user", "content": "be good\n\ndo it"}]


async def test_largest_n_is_learnt_from_llama_cpp() -> None:
    with OpenAIServer(list("abcdefghij"), max_n=4) as server:
        response = await ask(server, LMRequest("s", "m", n=10), max_concurrency=1)
        assert sorted(response.texts) == list("abcdefghij")
        assert [item.body.get("n", 1) for item in server.received] == [10, 4, 4, 2]


async def test_fewer_choices_are_completed() -> None:
    with OpenAIServer(list("abcdef"), faults=[Fault("fewer", choices=2)]) as server:
        response = await ask(server, LMRequest("s", "m", n=4, seed=10))
    assert response.texts == list("abcd")
    assert response.faults == ("fewer choices",)
    assert response.retries == 1
    assert [item.body["seed"] for item in server.received] == [10, 12]


async def test_a_server_that_ignores_n_is_asked_n_times() -> None:
    with OpenAIServer(list("abcd"), honours_n=False) as server:
        response = await ask(server, LMRequest("s", "m", n=4))
        assert sorted(response.texts) == list("abcd")
        assert len(server.received) == 4
    assert response.usage.prompt_tokens >= 4


async def test_no_choices_at_all_is_an_error() -> None:
    with OpenAIServer(faults=[Fault("fewer", choices=0, count=99)]) as server:
        error = await refused(server, LMRequest("s", "m", n=3))
    assert "0 of 3" in error.message
    assert len(server.received) == 3


@pytest.mark.parametrize("kind", ["empty", "null"])
async def test_empty_texts_are_kept(kind: str) -> None:
    with OpenAIServer(faults=[Fault(kind)]) as server:  # type: ignore[arg-type]
        response = await ask(server, LMRequest("s", "m", n=2))
    assert response.texts == ["", ""]


async def test_cut_off_texts_are_kept() -> None:
    with OpenAIServer(finish_reason="length") as server:
        response = await ask(server)
    assert response.choices[0].finish_reason == "length"


@pytest.mark.parametrize("style", ["missing", "zero", "one choice", "negative", "huge", "text"])
async def test_unusable_token_figures_are_estimated(style: str) -> None:
    with OpenAIServer([LONG], usage=style) as server:  # type: ignore[arg-type]
        usage = (await ask(server, LMRequest("s", LONG, n=3))).usage
    assert usage.estimated
    assert usage.completion_tokens >= 3 * len(LONG) // 5
    assert usage.prompt_tokens >= len(LONG) // 5


async def test_true_token_figures_are_kept_and_summed() -> None:
    with OpenAIServer([LONG], max_n=2) as server:
        usage = (await ask(server, LMRequest("s", LONG, n=4))).usage
    assert not usage.estimated
    assert usage.completion_tokens == 4 * (len(LONG) // 4 + 1)


async def test_money() -> None:
    with OpenAIServer([LONG]) as server:
        assert (await ask(server)).usage.usd is None
        usage = (await ask(server, price_per_million=(1.0, 2.0))).usage
    assert usage.usd is not None
    expected = (usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6
    assert abs(usage.usd - expected) < 1e-12


def test_openai_itself_has_prices_and_a_context() -> None:
    lm = OpenAIModel("gpt-4o-mini")
    bound = lm.worst_case(LMRequest("s", "m" * 100, n=4, max_tokens=1000))
    assert bound.completion_tokens == 4000
    assert bound.usd is not None
    assert bound.usd > 0
    assert lm.context_tokens is not None
    assert lm.context_tokens > 10_000


async def test_missing_key() -> None:
    lm = OpenAIModel("gpt-4o-mini")
    with pytest.raises(LMUnavailable, match="OPENAI_API_KEY") as caught:
        await lm.start()
    assert "local" in caught.value.hint
    with OpenAIServer(key="none") as server:  # elsewhere a placeholder is sent
        assert (await ask(server)).texts == ["ok"]


async def test_a_key_that_cannot_be_one() -> None:
    lm = OpenAIModel("m", LMOptions(api_key="two words"))
    with pytest.raises(ConfigError) as caught:
        await lm.start()
    assert "two words" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://"])
def test_base_urls_are_checked(url: str) -> None:
    with pytest.raises(ConfigError):
        OpenAIModel("m", LMOptions(base_url=url))


async def test_concurrency_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0

    async def exchange(*_: object, **__: object) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10):
            await asyncio.sleep(0)
        under_way -= 1
        return Reply((Choice("ok"),), "m", "", 5, 1, 0)

    monkeypatch.setattr("stop.lm.remote.openai.exchange", exchange)
    with refused_url() as url:
        lm = OpenAIModel("m", LMOptions(base_url=url, max_concurrency=2))
        await asyncio.gather(*(lm.complete(LMRequest("s", "m")) for _ in range(6)))
        await lm.aclose()
    assert most == 2


async def test_requests_per_minute(pauses: list[float]) -> None:
    with OpenAIServer() as server:
        lm = OpenAIModel("m", LMOptions(base_url=server.base_url, requests_per_minute=60))
        await asyncio.gather(*(lm.complete(LMRequest("s", "m")) for _ in range(3)))
        await lm.aclose()
    assert sorted(pauses) == [1, 2]


async def test_proxies_are_not_asked_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with OpenAIServer() as server:
        assert (await ask(server)).texts == ["ok"]


async def test_errors_within_a_200() -> None:
    failure = parse_reply(b'{"error": {"code": 429, "message": "busy"}}', str)
    assert isinstance(failure, Failure)
    assert failure.retry
    assert failure.reason == "429"
    for body in (b"[]", b"null", b'{"choices": 3}', b"\xff", b"", b"[" * 100_000):
        failure = parse_reply(body, str)
        assert isinstance(failure, Failure)
        assert failure.reason == "malformed"
    body = b'{"choices": [{"message": {"content": [{"text": "a"}, {"text": "\\ud800"}]}}, 3]}'
    reply = parse_reply(body, str)
    assert isinstance(reply, Reply)
    assert reply.choices[0].text == "a\ufffd"


async def test_logs_do_not_show_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with OpenAIServer(key=KEY, faults=[Fault.status(500), Fault("reset")]) as server:
        await ask(server, api_key=KEY)
    assert KEY not in caplog.text
    assert KEY[8:20] not in caplog.text


async def test_without_patience_nothing_is_tried_again() -> None:
    with OpenAIServer(faults=[Fault("slow", seconds=1.2), Fault.status(500)]) as server:
        assert (await ask(server, patience=0)).texts == ["ok"]
        error = await refused(server, patience=0)
    assert "after 1 tries" in error.message


def test_the_server_as_a_command(tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text('"hello"\n')
    command = [sys.executable, "-m", "stop.testing.openai_server", "--replies", str(replies)]
    root = Path(stop.lm.__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/models") as answer:
            assert json.load(answer)["data"]
        process.terminate()
