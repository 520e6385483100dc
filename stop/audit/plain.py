"""Values of any kind as plain JSON of a bounded size that reads back as the same JSON."""

from __future__ import annotations

import math
from json.encoder import encode_basestring_ascii
from typing import Any

_MAX_DEPTH = 6
_NUMBER = 26
"""Bytes that a number takes at most, with what stands between it and the next."""


def plain(body: dict[str, Any], *, text: int, size: int) -> dict[str, Any]:
    """Returns `body` as JSON; other values become their texts, what is too much is cut off.

    Args:
        body: of few keys, chosen by the host; its values may be anything.
        text: the most characters of a string.
        size: about the most bytes of all values together as ASCII JSON.
    """
    cutter = _Cutter(text, size)
    return {key: cutter.value(value, _MAX_DEPTH) for key, value in body.items()}


class _Cutter:
    """Takes what fits; looks at no more of a large value than that."""

    def __init__(self, text: int, size: int) -> None:
        self._limit = text
        self._room = size

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool):
            self._room -= _NUMBER
            return value
        if isinstance(value, int):
            self._room -= _NUMBER
            return int(value) if value.bit_length() <= 64 else self._text(hex(value))
        if isinstance(value, float):
            self._room -= _NUMBER
            return float(value) if math.isfinite(value) else str(value)
        if isinstance(value, dict):
            return self._dict(value, depth) if depth else "..."
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, depth) if depth else "..."
        return self._text(str(value))

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        for key, each in value.items():
            if self._room <= 0:
                break
            name = self._text(key if isinstance(key, str) else repr(key))
            taken[name] = self.value(each, depth - 1)
        return taken

    def _list(self, value: Any, depth: int) -> list[Any]:
        taken = []
        for each in value:
            if self._room <= 0:
                break
            self._room -= 3
            taken.append(self.value(each, depth - 1))
        return taken

    def _text(self, text: str) -> str:
        text = text[: self._limit]
        if not text.isascii():
            # Two surrogates that make a pair would be read back as one character, which sorts
            # otherwise.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        cost = len(encode_basestring_ascii(text)) + 2
        if cost > self._room:
            text = text[: max(0, self._room) // 12]  # of which a character takes up to 12
            cost = len(encode_basestring_ascii(text)) + 2
        self._room -= cost
        return text
