from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stop.lm.redact import clean, redact, valid_text

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@given(st.text(), KEYS, st.text())
def test_a_secret_never_survives(before: str, key: str, after: str) -> None:
    text = clean(before + key + after, key, limit=10_000)
    assert key not in text
    assert not any(
        key[i : i + 8] in text for i in range(len(key) - 7) if key[i : i + 8] != "[hidden]"
    )


@given(st.text(), st.integers(min_value=1, max_value=300))
def test_cleaned_text_is_short_and_on_one_line(text: str, limit: int) -> None:
    result = clean(text, limit=limit)
    assert len(result) <= limit
    assert not any(ord(character) < 32 or ord(character) == 127 for character in result)


def test_a_control_character_does_not_hide_a_key() -> None:
    assert "secret" not in clean("my-secr\x00et-key-1", "my-secret-key-1")
    assert "my-secr" not in clean("my-secr\x00et-key-1", "my-secret-key-1")


def test_things_that_look_like_keys() -> None:
    text = redact("sk-abcdef123456 Bearer abc.def https://user:word@host/x hf_abcdefghijkl")
    for secret in ("abcdef", "abc.def", "word", "hf_"):
        assert secret not in text
    assert "host/x" in text


def test_ordinary_text_is_left_alone() -> None:
    text = "The model `gpt-4o` does not exist; n must be <= 4."
    assert clean(text, "sk-0123456789") == text
    assert redact("none of it", "") == "none of it"


@given(st.text(st.characters()))
def test_valid_text_can_always_be_encoded(text: str) -> None:
    assert valid_text(text).encode() == valid_text(valid_text(text)).encode()
    assert valid_text("a\ud800b") == "a\ufffdb"
