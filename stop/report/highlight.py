"""Colours for Python text: a tokenizer that takes anything and never gives up.

It sees comments, strings, numbers, words and decorators, in one pass; `templates/script.js` has
the same expression.
"""

from __future__ import annotations

import builtins
import keyword
import re

Piece = tuple[str, str]
"""A class of the style sheet ("" for none), and the text."""

_TOKEN = re.compile(
    r"(?P<c>\#[^\n]*)"
    r'|(?P<s>[rbfuRBFU]{0,2}(?:"""[\s\S]*?(?:"""|\Z)|\'\'\'[\s\S]*?(?:\'\'\'|\Z)'
    r"|\"(?:[^\"\\\n]|\\[^\n])*\"?|'(?:[^'\\\n]|\\[^\n])*'?))"
    r"|(?P<d>@[A-Za-z_][\w.]*)"
    r"|(?P<m>\d[\w.]*)"
    r"|(?P<w>[^\W\d]\w*)"
    r"|(?P<o>\s+|[^\w\s]|\w)"
)
_KEYWORDS = frozenset(keyword.kwlist)
_BUILTINS = frozenset(name for name in dir(builtins) if name[0].islower())


def lines(text: str) -> list[list[Piece]]:
    """The text's lines as pieces. Joined they are the text, whatever it is."""
    result: list[list[Piece]] = [[]]
    before = ""
    for match in _TOKEN.finditer(text):
        token, kind = match.group(), match.lastgroup or "o"
        name = _class(kind, token, before)
        if kind != "o" or not token.isspace():
            before = token
        for i, part in enumerate(token.split("\n")):
            if i:
                result.append([])
            if part:
                _add(result[-1], name, part)
    return result


def _class(kind: str, token: str, before: str) -> str:
    if kind in "csdm":
        return kind
    if kind != "w":
        return ""
    if token in _KEYWORDS:
        return "k"
    if before in ("def", "class"):
        return "f"
    return "b" if token in _BUILTINS and before != "." else ""


def _add(line: list[Piece], name: str, text: str) -> None:
    if line and line[-1][0] == name:
        line[-1] = (name, line[-1][1] + text)
    else:
        line.append((name, text))
