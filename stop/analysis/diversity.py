"""Measures how much programs differ in structure.

A program becomes the sequence of its syntax nodes in preorder, with operators, an end mark after
each block, and a constant's type in place of its value; names, values, comments and docstrings do
not count. The distance of two programs is the edit distance of their sequences (V. I. Levenshtein,
Soviet Physics Doklady 10, 1966; computed bit-parallel after H. Hyyrö, Nordic Journal of Computing
10, 2003), divided by the length of the longer one: 0 is the same structure, 1 nothing in common.

A prompt is a constant: two improvers that differ in their words only have distance 0. Of programs
with more than 20,000 nodes the first 20,000 count.
"""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stop.analysis.reading import MAX_NODES, Reading, read

MAX_PROGRAMS = 60
"""Of a larger set, this many programs are drawn for its diversity."""
_SEED = 1
_BLOCKS = frozenset({"body", "orelse", "finalbody", "handlers"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

Structure = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diversity:
    """How much the programs of a set differ.

    Attributes:
        mean: distance of two of them, 0 to 1, over all pairs; None of fewer than two.
        programs: the number that was compared.
        unreadable: the number that was left out because it is not Python.
        left_out: the number that was not drawn.
    """

    mean: float | None
    programs: int
    unreadable: int = 0
    left_out: int = 0


def structure(source: str) -> Structure | None:
    """Returns the sequence that stands for a program; None for text that is not Python."""
    reading = read(source, Reading)
    return None if reading is None else tuple(_symbols(reading))[:MAX_NODES]


def distance(a: str, b: str) -> float | None:
    """Returns the normalised syntax-tree distance of two programs, 0 to 1.

    Symmetric, and 0 of a program and itself with other names. See the head of this module.

    Args:
        a, b: Python source text; None is returned where one of them is not Python.
    """
    first, second = structure(a), structure(b)
    return None if first is None or second is None else structural_distance(first, second)


def structural_distance(a: Structure, b: Structure) -> float:
    """Returns the distance of two programs whose sequences are made."""
    longer = max(len(a), len(b))
    return _edits(a, b) / longer if longer else 0.0


def diversity(programs: Iterable[str], *, limit: int = MAX_PROGRAMS) -> Diversity:
    """Returns the mean distance over all pairs of a set of programs, each text once.

    Args:
        programs: Python source texts.
        limit: the largest number that is compared; of more, always the same ones are drawn.
    """
    texts = sorted(set(programs))
    drawn = texts if len(texts) <= limit else random.Random(_SEED).sample(texts, limit)
    read_ones = [structure(text) for text in drawn]
    structures = [each for each in read_ones if each is not None]
    distances = [
        structural_distance(one, other)
        for i, one in enumerate(structures)
        for other in structures[:i]
    ]
    return Diversity(
        mean=math.fsum(distances) / len(distances) if distances else None,
        programs=len(structures),
        unreadable=len(drawn) - len(structures),
        left_out=len(texts) - len(drawn),
    )


def _symbols(reading: Reading) -> list[str]:
    """Preorder symbols. Blocks have an end, so that what is in an `if` is not what follows it."""
    symbols: list[str] = []
    skipped = _docstrings(reading)
    ends: dict[int, int] = {}
    for node in reading.nodes:
        for name in _BLOCKS & set(node._fields):
            block = getattr(node, name)
            if isinstance(block, list) and block:
                last = reading.inside(block[-1]).stop
                ends[last] = ends.get(last, 0) + 1
    for i, node in enumerate(reading.nodes):
        symbols.extend(["end"] * ends.get(i, 0))
        if i not in skipped:
            symbols.append(_symbol(node))
    return symbols


def _symbol(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return f"Constant {type(node.value).__name__}"
    return type(node).__name__


def _docstrings(reading: Reading) -> set[int]:
    skipped: set[int] = set()
    for node in reading.nodes:
        if isinstance(node, _DOCUMENTED) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                skipped.update(reading.inside(first))
    return skipped


def _edits(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein distance: a column of the table is two integers of len(a) bits (Hyyrö 2003)."""
    if a == b or not a or not b:
        return 0 if a == b else max(len(a), len(b))
    places: dict[str, int] = {}
    for i, symbol in enumerate(a):
        places[symbol] = places.get(symbol, 0) | 1 << i
    mask, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    plus, minus, edits = mask, 0, len(a)
    for symbol in b:
        match = places.get(symbol, 0)
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        up = minus | (~(diagonal | plus) & mask)
        down = plus & diagonal
        edits += bool(up & last) - bool(down & last)
        up = up << 1 | 1
        plus = (down << 1 | ~(diagonal | up)) & mask
        minus = up & diagonal & mask
    return edits
