"""Colours for Python text: what Pygments finds, as marks that take little room in a report."""

from __future__ import annotations

from functools import cache
from itertools import groupby

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType

_CLASSES = (
    (Comment, "c"), (String, "s"), (Number, "m"), (Keyword, "k"), (Operator.Word, "k"),
    (Name.Function, "f"), (Name.Class, "f"), (Name.Builtin, "b"), (Name.Decorator, "d"),
)  # fmt: skip
_PLAIN = "p"
_LEXER = PythonLexer()


def marks(text: str) -> list[str]:
    """Marks the colours of `text`, Python or not, one string for each of its lines.

    Returns:
        Letters of the style sheet, each with its number of characters, as in "p4k6"; "p" is plain.
        The rest of the line, behind the last mark, is plain too.
    """
    # Pygments takes quadratic time on many blank lines with spaces in them.
    stripped = "\n".join(line.rstrip() for line in text.split("\n"))
    lines: list[list[tuple[str, int]]] = [[]]
    for _, token, value in _LEXER.get_tokens_unprocessed(stripped):
        first, *rest = value.split("\n")
        lines[-1].append((_class(token), len(first)))
        lines += [[(_class(token), len(part))] for part in rest]
    return [_joined(line) for line in lines]


@cache
def _class(token: _TokenType) -> str:
    return next((letter for kind, letter in _CLASSES if token in kind), _PLAIN)


def _joined(line: list[tuple[str, int]]) -> str:
    """The marks of a line without empty ones; neighbours of the same class are one."""
    runs = groupby((mark for mark in line if mark[1]), key=lambda mark: mark[0])
    sizes = [(letter, sum(size for _, size in run)) for letter, run in runs]
    if sizes and sizes[-1][0] == _PLAIN:
        sizes.pop()
    return "".join(f"{letter}{size}" for letter, size in sizes)
