"""What changed between two texts, line by line, in bounded time.

E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1, 1986. Beyond
`MAX_EDITS` edits, or too much work, what lies between the common beginning and end counts as
replaced. `templates/script.js` has the same for any two programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

MAX_EDITS = 500
MAX_WORK = 400_000
CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Change:
    """A line of a diff: `kind` is " ", "-" or "+"; `old` and `new` are positions from 0 on."""

    kind: str
    old: int
    new: int


def compare(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """All lines of both texts, in order."""
    low, end = 0, min(len(old), len(new))
    while low < end and old[low] == new[low]:
        low += 1
    tail = 0
    while tail < end - low and old[len(old) - 1 - tail] == new[len(new) - 1 - tail]:
        tail += 1
    middle_old, middle_new = old[low : len(old) - tail], new[low : len(new) - tail]
    changes = [Change(" ", i, i) for i in range(low)]
    changes += [Change(c.kind, c.old + low, c.new + low) for c in _middle(middle_old, middle_new)]
    changes += [Change(" ", len(old) - i, len(new) - i) for i in range(tail, 0, -1)]
    return _deletions_first(changes)


def _middle(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    trace = _trace(old, new)
    if trace is None:
        removed = [Change("-", i, 0) for i in range(len(old))]
        return removed + [Change("+", len(old), i) for i in range(len(new))]
    return list(_backwards(trace, len(old), len(new)))[::-1]


def _trace(old: Sequence[str], new: Sequence[str]) -> list[dict[int, int]] | None:
    """How far each diagonal reaches with 0, 1, ... edits; None when it takes too many."""
    reach, trace, work = {1: 0}, [], 0
    for edits in range(min(len(old) + len(new), MAX_EDITS) + 1):
        trace.append(dict(reach))
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and reach.get(k - 1, -1) < reach.get(k + 1, -1))
            x = reach[k + 1] if down else reach[k - 1] + 1
            start = x
            while x < len(old) and 0 <= x - k < len(new) and old[x] == new[x - k]:
                x += 1
            work += 1 + x - start
            reach[k] = x
            if x >= len(old) and x - k >= len(new):
                return trace
        if work > MAX_WORK:
            return None
    return None


def _backwards(trace: list[dict[int, int]], x: int, y: int) -> Iterator[Change]:
    for edits in range(len(trace) - 1, 0, -1):
        reach, k = trace[edits], x - y
        down = k == -edits or (k != edits and reach.get(k - 1, -1) < reach.get(k + 1, -1))
        before_k = k + 1 if down else k - 1
        before_x = reach[before_k]
        before_y = before_x - before_k
        while x > before_x and y > before_y:
            x, y = x - 1, y - 1
            yield Change(" ", x, y)
        x, y = before_x, before_y
        yield Change("+", x, y) if down else Change("-", x, y)
    while x > 0 and y > 0:
        x, y = x - 1, y - 1
        yield Change(" ", x, y)


def _deletions_first(changes: list[Change]) -> list[Change]:
    """Within each changed place, as people are used to read it."""
    ordered: list[Change] = []
    for _, group in groupby(changes, key=lambda change: change.kind == " "):
        ordered += sorted(group, key=lambda change: "- +".index(change.kind))  # stable
    return ordered


def hunks(changes: Sequence[Change]) -> list[list[Change]]:
    """Changed places with a few lines around them; empty when nothing changed."""
    places: list[list[int]] = []
    for i, change in enumerate(changes):
        if change.kind == " ":
            continue
        low, high = max(0, i - CONTEXT), min(len(changes), i + CONTEXT + 1)
        if places and low <= places[-1][1]:
            places[-1][1] = high
        else:
            places.append([low, high])
    return [list(changes[low:high]) for low, high in places]
