"""A unified diff in bounded time: what `difflib` does on small texts, patience diff on large ones.

`difflib` takes cubic time on texts made for it, and programs come from adversaries. Large texts are
taken apart at the lines that stand exactly once in both (Bram Cohen's patience diff); what is left
between them goes to `difflib` while its work is small, and counts as replaced otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from difflib import Match, SequenceMatcher
from itertools import pairwise

_WORK = 8_000_000
"""Upper bound of the comparisons by `difflib` in one diff."""
_LINES = 2_000_000
"""Upper bound of the lines that are looked at, over all gaps."""
_CONTEXT = 3


def unified_diff(a: str, b: str, name_a: str, name_b: str) -> str:
    """Returns what changed from `a` to `b` in the unified format, and "" for the same text."""
    lines_a, lines_b = a.splitlines(), b.splitlines()
    out: list[str] = []
    for group in _Matcher(lines_a, lines_b).get_grouped_opcodes(_CONTEXT):
        if not out:
            out += [f"--- {name_a}", f"+++ {name_b}"]
        first, last = group[0], group[-1]
        out.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@")
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                out += [" " + line for line in lines_a[a1:a2]]
                continue
            out += ["-" + line for line in lines_a[a1:a2]]
            out += ["+" + line for line in lines_b[b1:b2]]
    return "\n".join(out)


def _range(start: int, stop: int) -> str:
    """A range in the unified format: lines count from 1; an empty one names the line before it."""
    length = stop - start
    return str(start + 1) if length == 1 else f"{start + (length > 0)},{length}"


class _Matcher(SequenceMatcher[str]):
    """Finds its matching blocks within bounds; what `difflib` makes of them stays."""

    def __init__(self, a: list[str], b: list[str]) -> None:
        super().__init__(None, a, b)
        self._texts = a, b

    def get_matching_blocks(self) -> list[Match]:
        a, b = self._texts
        blocks = [Match(0, 0, 0)]
        for i, j in enumerate(_partners(a, b)):
            if j is None:
                continue
            start, partner, size = blocks[-1]
            if (start + size, partner + size) == (i, j):
                blocks[-1] = Match(start, partner, size + 1)
            else:
                blocks.append(Match(i, j, 1))
        return [*(block for block in blocks if block.size), Match(len(a), len(b), 0)]


def _partners(a: list[str], b: list[str]) -> list[int | None]:
    """For each line of `a`, the place of the same line in `b`; None where it counts as removed."""
    partner: list[int | None] = [None] * len(a)
    gaps = [(0, len(a), 0, len(b))]
    work, lines = _WORK, _LINES
    while gaps:
        a1, a2, b1, b2 = gaps.pop()
        while a1 < a2 and b1 < b2 and a[a1] == b[b1]:
            partner[a1] = b1
            a1, b1 = a1 + 1, b1 + 1
        while a1 < a2 and b1 < b2 and a[a2 - 1] == b[b2 - 1]:
            a2, b2 = a2 - 1, b2 - 1
            partner[a2] = b2
        m, n = a2 - a1, b2 - b1
        lines -= m + n
        if not m or not n or lines < 0:
            continue
        if m * n * min(m, n) <= work:
            work -= m * n * min(m, n)
            inner = SequenceMatcher(None, a[a1:a2], b[b1:b2], autojunk=False)
            for i, j, size in inner.get_matching_blocks():
                partner[a1 + i : a1 + i + size] = range(b1 + j, b1 + j + size)
        elif anchors := [(a1 + i, b1 + j) for i, j in _anchors(a[a1:a2], b[b1:b2])]:
            for i, j in anchors:
                partner[i] = j
            edges = [(a1 - 1, b1 - 1), *anchors, (a2, b2)]
            gaps += [(i + 1, k, j + 1, n) for (i, j), (k, n) in pairwise(edges)]
    return partner


def _anchors(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """The most lines that stand once in both, in the same order: (place in a, place in b)."""
    once_a, once_b = Counter(a), Counter(b)
    places = {line: j for j, line in enumerate(b) if once_b[line] == 1}
    pairs = [(i, places[line]) for i, line in enumerate(a) if once_a[line] == 1 and line in places]
    ends: list[int] = []  # longest increasing subsequence of the places in b
    piles: list[int] = []
    before: list[int] = []
    for at, (_, j) in enumerate(pairs):
        pile = bisect_left(ends, j)
        before.append(piles[pile - 1] if pile else -1)
        ends[pile : pile + 1] = [j]
        piles[pile : pile + 1] = [at]
    chosen: list[tuple[int, int]] = []
    at = piles[-1] if piles else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = before[at]
    return chosen[::-1]
