"""A text is found again in the responses, whatever stands around it, and in little time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.lineage.origins import EDITED_FROM, _blocks, _Text
from stop.sandbox.helpers import extract_code
from tests.helpers.programs import GREEDY, fenced

HUGE = 256 << 10
lines = st.lists(
    st.sampled_from(["x = 1", "    y = x", "", "  ", "```", "~~~", "# é", "return 0", "\tz()"]),
    max_size=12,
).map("\n".join)


def is_block(source, response):
    return _Text(source).is_block_of(response.split("\n"))


@given(lines, st.sampled_from(["", "  ", "\t"]), st.booleans(), lines)
def test_what_the_guest_takes_out_of_a_response_is_exact(text, indent, closed, after):
    body = "\n".join(indent + line for line in text.split("\n"))
    response = f"Here:\n{indent}```python\n{body}\n" + (f"{indent}```\n{after}" if closed else "")
    taken = extract_code(response)
    if taken is not None and taken.strip():
        assert is_block(taken, response)
        assert is_block(taken.strip("\n") + " \n\n", response)


@given(lines)
def test_a_response_that_is_the_program_is_exact(text):
    assert is_block(text, text) == bool(text.strip())


def test_a_part_of_a_block_is_not_exact():
    assert is_block(GREEDY, fenced(GREEDY))
    first, rest = GREEDY.split("\n", 1)
    for part in (first, rest, GREEDY.replace("chosen", "picked"), ""):
        assert not is_block(part, fenced(GREEDY))


@given(lines, lines)
def test_similarity_is_a_share_and_symmetrical(a, b):
    there = _Text(a).similarity(b.split("\n"))
    assert 0 <= there <= 1
    assert there == _Text(b).similarity(a.split("\n"))
    assert _Text(a).similarity(a.split("\n")) == (1 if a.strip() else 0)


def test_similarity_tells_an_edit_from_another_program():
    edited = GREEDY.replace("chosen = []", "chosen = list()")
    other = "def algorithm(weights, values, capacity):\n    return sorted(weights)[:3]\n"
    assert _Text(edited).similarity(GREEDY.split("\n")) > EDITED_FROM
    assert _Text(other).similarity(GREEDY.split("\n")) < EDITED_FROM


@pytest.mark.parametrize(
    "nasty",
    ["```\n" * (HUGE // 4), "\n" * HUGE, "a\n" * (HUGE // 2), " ```" * (HUGE // 4), "`" * HUGE,
     "~~~ \n\n\n" * (HUGE // 7), ("```\n" + "a\n" * 50) * (HUGE // 104), " " * HUGE,
     "".join(f"{i}\n" for i in range(HUGE // 6))],
    ids=["fences", "empty", "same", "one line", "ticks", "gaps", "blocks", "blank", "different"],
)  # fmt: skip
@pytest.mark.slow
def test_hostile_texts_take_little_time(nasty):
    began = time.process_time()
    for source in (nasty, nasty + "x", nasty[:-7]):
        text, response = _Text(source), nasty.split("\n")
        text.is_block_of(response)
        assert all(0 <= text.similarity(block) <= 1 for block in _blocks(response))
    assert time.process_time() - began < 3 * 2
