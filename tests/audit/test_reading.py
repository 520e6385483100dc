"""Reading lines of one kind passes over the others without taking the log apart."""

from __future__ import annotations

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from stop.audit import chain
from stop.audit.chain import MAX_LINE

WORDS = [b'"kind":"security"', b'"kind":"counted"']
bodies = st.sampled_from([b"", *WORDS, WORDS[0] + WORDS[1], b'"kind":"other"', b"x"])
pads = st.sampled_from([0, 5, 100, 30_000, MAX_LINE - 20, MAX_LINE - 1, MAX_LINE, 200_000])
lines = st.builds(
    lambda first, pad, body, turned, end: (
        first + (body + b"a" * pad if turned else b"a" * pad + body) + end
    ),
    st.sampled_from([b"{", b"{", b"["]),
    pads,
    bodies,
    st.booleans(),
    st.sampled_from([b"\n", b"\n", b"\n", b""]),
)


@settings(deadline=None)
@given(st.lists(lines, max_size=8), st.sampled_from([MAX_LINE + 1, 70_000, 1 << 20]))
def test_lines_of_a_kind_are_those_that_a_slow_reader_finds(parts, block):
    data, usual = b"".join(parts), chain._BLOCK
    chain._BLOCK = block
    try:
        found = list(chain._lines_with(io.BytesIO(data), WORDS))
    finally:
        chain._BLOCK = usual
    slow = chain._whole_lines(io.BytesIO(data))
    assert found == [line for line in slow if any(word in line for word in WORDS)]


def test_the_edge_of_what_a_line_may_be():
    for size in range(MAX_LINE - 2, MAX_LINE + 3):
        line = b"{" + WORDS[0].ljust(size - 2, b"a") + b"\n"
        assert len(line) == size
        assert len(list(chain._lines_with(io.BytesIO(line * 2), WORDS))) == 2 * (size <= MAX_LINE)
