"""Texts, diffs, colours, charts and words: properties of the parts of a report."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.report import chart, diffs, highlight, words
from stop.report.data import Bar, Measure
from stop.report.setup import shareable
from stop.report.text import MAX_LINE, one_line, readable

LINES = st.lists(st.sampled_from("abc"), max_size=14)
NASTY = [
    '"' * 262_144,
    "'''" * 80_000,
    "\n" * 262_144,
    '"\\' * 131_072,
    "\u202e" * 262_144,
    "a.b" * 80_000,
    "rb" * 131_072,
    '"""' + "x\n" * 131_000,
    "@" * 262_144,
    "\ud800" * 1000,
]


@given(st.text())
def test_what_is_shown_is_visible(text):
    shown = readable(text)
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert one_line(text).isprintable()
    if text.isprintable() and len(text) < MAX_LINE:
        assert shown == text


def test_a_bidi_override_has_a_number():
    assert readable("a\u202eb") == "a⟨U+202E⟩b"


@given(st.text(st.sampled_from("ab \n\t#'\"\\@0._\u202e\x00é") | st.characters(), max_size=300))
@settings(max_examples=300)
def test_pieces_are_the_text(text):
    joined = "\n".join("".join(part for _, part in line) for line in highlight.lines(text))
    assert joined == text


def test_colours():
    (line,) = highlight.lines("@cached  # why\n".strip())
    assert line[0] == ("d", "@cached")
    assert line[-1] == ("c", "# why")
    (line,) = highlight.lines("def len(x): return len(f'{x}') + 0x1F")
    assert ("f", "len") in line
    assert ("b", "len") in line
    assert ("s", "f'{x}'") in line
    assert ("m", "0x1F") in line


@given(LINES, LINES)
@settings(max_examples=300)
def test_a_diff_holds_both_texts(old, new):
    changes = diffs.compare(old, new)
    assert [old[c.old] for c in changes if c.kind != "+"] == old
    assert [new[c.new] for c in changes if c.kind != "-"] == new
    for change in changes:
        if change.kind == " ":
            assert old[change.old] == new[change.new]
    assert bool(diffs.hunks(changes)) == (old != new)


def test_a_diff_is_short():
    old = [str(i) for i in range(100)]
    changes = diffs.compare(old, [*old[:40], "new", *old[41:90], *old[91:]])
    assert [c.kind for c in changes if c.kind != " "] == ["-", "+", "-"]
    assert [len(hunk) for hunk in diffs.hunks(changes)] == [8, 7]


@pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text[:3]))
def test_nasty_texts_take_no_time(text):
    began = time.perf_counter()
    lines = readable(text).split("\n")
    highlight.lines("\n".join(lines))
    diffs.compare(lines, [line + "x" for line in lines])
    diffs.compare([str(i % 7) for i in range(3000)], [str(i % 11) for i in range(3000)])
    assert time.perf_counter() - began < 2


MEASURES = st.floats(-1e6, 1e6).flatmap(
    lambda mean: st.one_of(
        st.just(Measure(mean)),
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(
            lambda ends: Measure(mean, mean - ends[0], mean + ends[1])
        ),
    )
)


@given(
    st.lists(st.none() | MEASURES, min_size=1, max_size=30),
    st.sampled_from(["accepted", "rejected", "plain"]),
)
def test_a_chart_stays_in_its_box(measures, kind):
    bars = [Bar(str(i), kind if m else "failed", m) for i, m in enumerate(measures)]
    drawn = chart.draw(bars, 340, 260)
    if not any(measures):
        assert drawn is None
        return
    assert len(drawn.marks) == len(bars)
    for mark in drawn.marks:
        across, down = (mark.x, mark.low, mark.high), (mark.y,)
        if not drawn.lying:
            across, down = (mark.x,), (mark.y, mark.low, mark.high)
        assert all(0 <= place <= drawn.width for place in across if place is not None)
        assert all(0 <= place <= drawn.height for place in down if place is not None)
    assert 2 <= len(drawn.grid) <= 12


def test_rates_begin_at_nothing():
    drawn = chart.draw([Bar("a", "rate", Measure(0.4, 0.118, 0.769))], 760, 300)
    assert [label for _, label in drawn.grid] == ["0.0", "0.2", "0.4", "0.6", "0.8"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "+0.250"), (-0.25, "−0.250"), (-0.0, "0.000"), (-0.0001, "0.000"), (None, "–")],
)
def test_differences_as_people_read_them(value, text):
    assert words.signed(value) == text


def test_folders_and_keys_of_this_machine_are_not_told():
    text = shareable("scripted:/home/ann/secret plans/x.jsonl https://api.host/v1 sk-abcdefghijk")
    assert "ann" not in text
    assert "sk-" not in text
    assert "https://api.host/v1" in text


def test_the_script_has_no_way_to_make_markup():
    from stop.report.render import _part

    script = _part("script.js")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(", script
    )
    for part in (script, _part("style.css")):
        assert "</" not in part
        assert "<!--" not in part
        assert "http" not in part.replace("http-equiv", "")
    assert "url(" not in _part("style.css")
