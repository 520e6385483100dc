"""A unified diff in bounded time: what `difflib` does on small texts, patience diff on large ones.

`difflib` takes cubic time on texts made for it, and programs come from adversaries. Large texts are
taken apart at the lines that stand exactly once in both (Bram Cohen's patience diff); what is left
between them goes to `difflib` while its work is small, and counts as replaced otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from difflib import Match, SequenceMatcher

_WORK = 8_000_000
"""Comparisons that `difflib` may need at the most, of one diff."""
_LINES = 2_000_000
"""Lines that are looked at, over all gaps."""
_CONTEXT = 3


def unified_diff(a: str, b: str, name_a: str, name_b: str) -> str:
    """What changed from `a` to `b`; "" for the same text."""
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
    """As the format has it: from 1 on; an empty range names the line before it."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


class _Matcher(SequenceMatcher[str]):
    """Finds its matching blocks within bounds; what `difflib` makes of them stays."""

    def __init__(self, a: list[str], b: list[str]) -> None:
        super().__init__(None, a, b)
        self._texts = a, b

    def get_matching_blocks(self) -> list[Match]:
        a, b = self._texts
        return [*_joined(sorted(_blocks(a, b))), Match(len(a), len(b), 0)]


def _joined(blocks: list[Match]) -> list[Match]:
    """Without empty blocks, and adjacent ones as one."""
    joined: list[Match] = []
    for block in blocks:
        if block.size == 0:
            continue
        if joined:
            a, b, size = joined[-1]
            if (a + size, b + size) == block[:2]:
                joined[-1] = Match(a, b, size + block.size)
                continue
        joined.append(block)
    return joined


def _blocks(a: list[str], b: list[str]) -> list[Match]:
    found: list[Match] = []
    gaps = [(0, len(a), 0, len(b))]
    work, lines = _WORK, _LINES
    while gaps:
        a1, a2, b1, b2 = gaps.pop()
        size = 0
        while a1 + size < a2 and b1 + size < b2 and a[a1 + size] == b[b1 + size]:
            size += 1
        found.append(Match(a1, b1, size))
        a1, b1, size = a1 + size, b1 + size, 0
        while a1 < a2 - size and b1 < b2 - size and a[a2 - size - 1] == b[b2 - size - 1]:
            size += 1
        a2, b2 = a2 - size, b2 - size
        found.append(Match(a2, b2, size))
        m, n = a2 - a1, b2 - b1
        lines -= m + n
        if not m or not n or lines < 0:
            continue
        if m * n * min(m, n) <= work:
            work -= m * n * min(m, n)
            inner = SequenceMatcher(None, a[a1:a2], b[b1:b2], autojunk=False)
            blocks = inner.get_matching_blocks()
            found += [Match(a1 + block.a, b1 + block.b, block.size) for block in blocks]
            continue
        last_a, last_b = a1, b1
        anchors = _anchors(a[a1:a2], b[b1:b2])
        for i, j in [(a1 + i, b1 + j) for i, j in anchors]:
            found.append(Match(i, j, 1))
            gaps.append((last_a, i, last_b, j))
            last_a, last_b = i + 1, j + 1
        if anchors:
            gaps.append((last_a, a2, last_b, b2))
    return found


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
        if pile == len(ends):
            ends.append(j)
            piles.append(at)
        else:
            ends[pile], piles[pile] = j, at
    chosen: list[tuple[int, int]] = []
    at = piles[-1] if piles else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = before[at]
    return chosen[::-1]
