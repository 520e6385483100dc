"""What programs import inside the sandbox: `from helpers import extract_code`.

Used on both sides: the host imports this module, and its text is sent into the sandbox, so it
needs nothing but the standard library.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterator
from typing import overload

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<ticks>`{3,}|~{3,})(?P<info>[^`\n]*)$", re.M)
_ENTRY_POINTS = ("improve_algorithm", "algorithm", "priority")


@overload
def extract_code(text: str, entry_points: Collection[str] = ...) -> str | None: ...
@overload
def extract_code(
    text: list[str] | tuple[str, ...], entry_points: Collection[str] = ...
) -> list[str | None]: ...
def extract_code(
    text: object, entry_points: Collection[str] = _ENTRY_POINTS
) -> str | list[str | None] | None:
    """Returns the fenced code block of a model's answer, None if it has none; of a list, a list.

    Programs that talk about programs hold fences inside their own strings, so the first closing
    fence is not always the end. Every pairing of an opening fence with a later closing one is a
    reading; among the readings that parse as Python the largest that defines an entry point is
    taken, then the largest that parses, then the largest block read the plain way (first fence
    to next). An answer cut off before its closing fence ends at the end of the text.
    """
    if isinstance(text, list | tuple):
        return [extract_code(item, entry_points) for item in text]
    if not isinstance(text, str):
        return None
    fences = list(_FENCE.finditer(text))
    if not fences:
        return None
    best, best_rank = "", (-1, -1)
    for block in _readings(text, fences):
        rank = (_quality(block, entry_points), len(block))
        if rank > best_rank:
            best, best_rank = block, rank
    if best_rank[0] > 0:
        return best
    plain = _plain_blocks(text, fences)
    return max(plain, key=len) if plain else None


def _readings(
    text: str, fences: list[re.Match[str]], limit: int = 200, characters: int = 1 << 18
) -> Iterator[str]:
    """Yields the block of each opening fence with each later fence that could close it."""
    count = 0
    for i, opening in enumerate(fences[:40]):
        ends = [f.start() for f in fences[i + 1 : i + 41] if _closes(opening, f)]
        for end in [*ends, len(text)]:
            block = _clean(text[opening.end() : end], opening["indent"])
            yield block
            count, characters = count + 1, characters - len(block)
            if count >= limit or characters <= 0:  # parsing many long ones is slow
                return


def _closes(opening: re.Match[str], fence: re.Match[str]) -> bool:
    return not fence["info"].strip() and fence["ticks"].startswith(opening["ticks"])


def _plain_blocks(text: str, fences: list[re.Match[str]]) -> list[str]:
    """Returns the blocks from each fence to the next that closes it, or to the end of the text."""
    blocks, opening = [], None
    for fence in [*fences, None]:
        if opening is None:
            opening = fence
        elif fence is None or _closes(opening, fence):
            end = fence.start() if fence else len(text)
            blocks.append(_clean(text[opening.end() : end], opening["indent"]))
            opening = None
    return [block for block in blocks if block]


def _clean(block: str, indent: str) -> str:
    lines = block.strip("\n").split("\n")
    if indent:
        lines = [line.removeprefix(indent) for line in lines]
    return "\n".join(lines)


def _quality(block: str, entry_points: Collection[str]) -> int:
    """Returns 2 if it defines an entry point, 1 if it only parses, 0 if not or if it is empty."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(block)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    if not tree.body:
        return 0
    names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return 2 if names & set(entry_points) else 1
