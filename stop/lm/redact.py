"""Takes keys and passwords out of text that others wrote, before it is shown or stored."""

from __future__ import annotations

import itertools
import re

MAX_SERVER_TEXT = 300
_SHORTEST = 4  # nothing shorter is a key
_FRAGMENT = 8  # characters of a key in a row that count as the key
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|hf|key)[-_][A-Za-z0-9_\-*.]{6,}")
_BEARER = re.compile(r"(?i)\b(bearer|authorization:?)\s+[^\s\"',}]+")
_USERINFO = re.compile(r"//[^/@\s]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def redact(text: str, *secrets: str) -> str:
    """`text` without the given secrets, without fragments of them, and without what looks like
    a key, a bearer token or the user part of an URL."""
    for secret in secrets:
        text = _without(text, secret)
    text = _USERINFO.sub("//[hidden]@", text)
    text = _BEARER.sub(r"\1 [hidden]", text)
    return _KEY_LIKE.sub("[hidden]", text)


def clean(text: str, *secrets: str, limit: int = MAX_SERVER_TEXT) -> str:
    """Text of a server or a tool, fit for an error message: redacted, on one line, without
    control characters, at most `limit` characters."""
    # Control characters first: one inside a key would hide the key from `redact`.
    for text_without in (_CONTROL.sub("", text), _CONTROL.sub(" ", text)):
        if any(_without(text_without, secret) != text_without for secret in secrets):
            text = text_without
            break
    text = " ".join(redact(_CONTROL.sub(" ", text), *secrets).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def valid_text(text: str) -> str:
    """`text` with lone surrogates (legal in JSON, not in UTF-8) replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without(text: str, secret: str) -> str:
    if len(secret) < _SHORTEST:
        # Replacing it would only tear holes into the text.
        return text
    text = text.replace(secret, "[hidden]")
    windows = {secret[i : i + _FRAGMENT] for i in range(len(secret) - _FRAGMENT + 1)}
    hidden = [False] * len(text)
    for start in range(len(text) - _FRAGMENT + 1):
        if text[start : start + _FRAGMENT] in windows:
            hidden[start : start + _FRAGMENT] = [True] * _FRAGMENT
    runs = itertools.groupby(zip(text, hidden, strict=True), key=lambda each: each[1])
    return "".join("[hidden]" if gone else "".join(c for c, _ in run) for gone, run in runs)
