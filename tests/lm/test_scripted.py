from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.errors import ConfigError
from stop.lm import LMRequest
from stop.lm.scripted import ScriptedLM, read_replies


async def test_replies_begin_again_when_they_end() -> None:
    lm = ScriptedLM(["a", "b", "c"])
    assert (await lm.complete(LMRequest("s", "m", n=5))).texts == list("abcab")
    assert (await lm.complete(LMRequest("s", "m", n=2))).texts == ["c", "a"]
    assert [request.n for request in lm.requests] == [5, 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('"a"\n{"x": 1}\n', "line 2: a dict"),
        ('"a"\n\nnot json\n', "line 3: not JSON"),
        ("3\n", "line 1: a int"),
        ("", "no replies"),
        ("\n\n", "no replies"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
)
def test_broken_files_name_the_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        ScriptedLM.from_file(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        ScriptedLM.from_file(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot read"):
        ScriptedLM.from_file(tmp_path)
    (tmp_path / "b").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        ScriptedLM.from_file(tmp_path / "b")


@pytest.mark.parametrize("replies", [[], "one string"])
def test_lists_without_sense(replies: list[str]) -> None:
    with pytest.raises(ConfigError):
        ScriptedLM(replies)


@given(replies=st.lists(st.text(), min_size=1))
def test_any_text_survives_a_file(
    replies: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("replies") / "r.jsonl"
    text = "\n".join(json.dumps(reply, ensure_ascii=False) for reply in replies)
    path.write_bytes(text.encode())
    assert read_replies(path) == replies


async def test_reservations_cover_long_replies() -> None:
    lm = ScriptedLM(["x" * 10_000])
    request = LMRequest("s", "m", n=2, max_tokens=10)
    usage = (await lm.complete(request)).usage
    assert usage.completion_tokens == 20 == lm.worst_case(request).completion_tokens
    assert usage.usd == 0


def test_threads_get_every_reply_once() -> None:
    import asyncio

    lm = ScriptedLM([str(number) for number in range(400)])
    got: list[str] = []

    def work() -> None:
        for _ in range(100):
            got.extend(asyncio.run(lm.complete(LMRequest("s", "m"))).texts)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(number) for number in range(400)]
