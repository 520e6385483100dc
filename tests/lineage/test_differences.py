"""Unified diffs: right whatever the texts are, and in bounded time."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.lineage.differences import _anchors, unified_diff

texts = st.lists(st.sampled_from(["a", "b", "c", "d", "", "-x", "+x", "@@"]), max_size=30)
N = 128 << 10


def patched(a, patch):
    """`a` after the patch: what the format means, step by step."""
    result, at = [], 0
    lines = patch.split("\n")[2:] if patch else []
    while lines:
        header = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", lines.pop(0))
        start, old, first, new = (int(x) if x else 1 for x in header.groups())
        start = start - 1 if old else start
        result += a[at:start]
        assert len(result) == (first - 1 if new else first)
        at, end, after = start, start + old, len(result) + new
        while at < end or len(result) < after:
            mark, line = lines[0][0], lines.pop(0)[1:]
            if mark in " -":
                assert a[at] == line
                at += 1
            if mark in " +":
                result.append(line)
    return result + a[at:]


@given(texts, texts)
def test_a_patch_leads_from_one_text_to_the_other(a, b):
    first, second = ("".join(line + "\n" for line in text) for text in (a, b))
    patch = unified_diff(first, second, "A", "B")
    assert patched(a, patch) == b
    assert (patch == "") == (a == b)


def test_large_texts_are_compared_line_by_line_where_they_can_be():
    rng = random.Random(1)
    a = [f"line {i}" for i in range(20_000)]
    b = list(a)
    for i in rng.sample(range(20_000), 30):
        b[i] += "!"
    patch = unified_diff("\n".join(a), "\n".join(b), "A", "B")
    assert patched(a, patch) == b
    assert sum(line.startswith(("+line", "-line")) for line in patch.split("\n")) == 60


@given(texts, texts)
def test_anchors_are_unique_and_in_order(a, b):
    anchors = _anchors(a, b)
    assert anchors == sorted(anchors)
    assert [j for _, j in anchors] == sorted({j for _, j in anchors})
    for i, j in anchors:
        assert a[i] == b[j]
        assert a.count(a[i]) == b.count(b[j]) == 1


def _words(rng, kinds, n):
    return "\n".join(str(rng.randrange(kinds)) for _ in range(n))


def _nasty():
    rng = random.Random(2)
    numbers = [str(i) for i in range(45_000)]
    mixed = rng.sample(numbers, len(numbers))
    yield "\n" * 2 * N, "\n" * (2 * N - 5) + "x"
    yield "a\n" * N, "b\n" * N
    yield _words(rng, 60, 90_000), _words(rng, 60, 90_000)
    yield _words(rng, 900, 65_000), _words(rng, 900, 65_000)
    yield "\n".join(numbers), "\n".join(mixed)
    yield "\n".join(numbers), "\n".join(reversed(numbers))
    yield _words(rng, 2, 199), _words(rng, 2, 199)
    zigzag = [
        x for pair in zip(numbers[:22_000], reversed(numbers[:22_000]), strict=True) for x in pair
    ]
    yield "\n".join(numbers), "\n".join(zigzag)


@pytest.mark.slow
@pytest.mark.parametrize("pair", list(_nasty()), ids=range(8))
def test_hostile_texts_take_little_time(pair):
    began = time.process_time()
    patch = unified_diff(*pair, "A", "B")
    assert time.process_time() - began < 2
    a, b = (text.splitlines() for text in pair)
    assert patched(a, patch) == b
