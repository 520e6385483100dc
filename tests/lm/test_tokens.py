from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.lm import LMRequest, tokens

CODE = "def f(values):\n    return [value * 2 for value in values if value > 100]\n" * 20


@given(st.text())
def test_estimate_is_between_nothing_and_the_bytes(text: str) -> None:
    count = tokens.estimate_tokens(text)
    assert 0 <= count <= len(text.encode("utf-8", "replace"))
    assert (count > 0) == bool(text)


@given(st.text(), st.text())
def test_estimates_add_up_roughly(a: str, b: str) -> None:
    parts = tokens.estimate_tokens(a) + tokens.estimate_tokens(b)
    assert abs(tokens.estimate_tokens(a + b) - parts) <= max(4, parts)


def test_estimate_over_counts_code_and_figures() -> None:
    assert len(CODE) / 3.3 < tokens.estimate_tokens(CODE) < len(CODE) / 1.5
    figures = str(list(range(1000, 1100)))  # llama.cpp with Qwen: each digit, sign and blank one
    assert tokens.estimate_tokens(figures) >= len(figures) * 0.95


@given(st.text())
def test_least_is_below_the_estimate(text: str) -> None:
    assert tokens.least_tokens(text) <= tokens.estimate_tokens(text)


def test_worst_case_covers_all_responses() -> None:
    request = LMRequest("s", CODE, n=3, max_tokens=7)
    bound = tokens.worst_case(request, prompts=3)
    assert bound.completion_tokens == 21
    assert bound.prompt_tokens >= 3 * tokens.estimate_tokens(CODE)


def test_an_unknown_model_is_estimated() -> None:
    assert tokens.count_tokens(CODE, "qwen") == tokens.estimate_tokens(CODE)


class _Encoding:
    def encode_ordinary(self, text: str) -> list[int]:
        return [1, 2, 3]


def test_a_vocabulary_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As tiktoken behind a firewall that drops packets: then the vocabulary arrives after all."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    arrives = threading.Event()
    calls = []

    def load(self: tokens._Vocabularies, name: str) -> None:
        calls.append(name)
        arrives.wait()
        self._encodings[name] = _Encoding()

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        raise AssertionError("waits for the vocabulary")

    monkeypatch.setattr(tokens._Vocabularies, "_load", load)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", join)
        for _ in range(3):
            assert tokens.count_tokens(CODE, "gpt-4o") == tokens.estimate_tokens(CODE)
    arrives.set()
    tokens._vocabularies._threads["o200k_base"].join()
    assert tokens.count_tokens(CODE, "gpt-4o") == 3
    assert calls == ["o200k_base"]


def test_a_cached_vocabulary_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).touch()

    monkeypatch.setattr(tokens, "_CACHED_WAIT_SECONDS", 60.0)

    def load(self: tokens._Vocabularies, name: str) -> None:
        time.sleep(0.1)  # so that the vocabulary is not there by chance
        self._encodings[name] = _Encoding()

    monkeypatch.setattr(tokens._Vocabularies, "_load", load)
    monkeypatch.setattr(tokens, "_CACHED_WAIT_SECONDS", 100)
    assert tokens.count_tokens(CODE, "gpt-4o-mini") == 3


def test_where_tiktoken_keeps_its_vocabularies_is_as_we_think(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tiktoken.load

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken.load, "read_file", lambda _path: b"YQ== 0\n")
    url = tokens._VOCABULARY_URL.format("cl100k_base")
    tiktoken.load.read_file_cached(url)
    assert tokens._is_cached("cl100k_base")
    assert not tokens._is_cached("o200k_base")
