"""Texts, colours, charts and words: properties of the parts of a report."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.report import chart, highlight, models, words
from stop.report.data import Bar, Measure
from stop.report.programs import sample_names
from stop.report.setup import shareable
from stop.report.steps import own_words
from stop.report.text import MAX_LINE, one_line, readable

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
    (" " * 20 + "\n") * 3000,
    ("match " + "[:" * 450 + "\n") * 60,
    ("f" + "'" * 3 + "{" + "(" * 60 + "\n") * 900,
]
CPU_SECONDS = 10
"""Of the processor, for one text: what takes quadratic time takes much more."""


@given(st.text())
def test_what_is_shown_is_visible(text):
    shown = readable(text)
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert one_line(text).isprintable()
    if text.isprintable() and len(text) < MAX_LINE:
        assert shown == text


def test_a_bidi_override_has_a_number():
    assert readable("a\u202eb") == "a⟨U+202E⟩b"


ALPHABET = st.sampled_from("ab \n\t#'\"\\@0._f{}\u202e\x00é\r\u2028") | st.characters()


def coloured(text):
    """The lines of a text as pieces, as the script puts them together: (letter, piece)."""
    lines = []
    for line, marks in zip(text.split("\n"), highlight.marks(text), strict=True):
        pieces, at = [], 0
        for letter, size in re.findall(r"([a-z])([0-9]+)", marks):
            pieces.append((letter, line[at : at + int(size)]))
            at += int(size)
        assert at <= len(line)
        assert "".join(f"{letter}{len(piece)}" for letter, piece in pieces) == marks
        lines.append([*pieces, ("p", line[at:])] if at < len(line) else pieces)
    return lines


@given(st.text(ALPHABET, max_size=300))
@settings(max_examples=300)
def test_marks_cover_lines_and_no_more(text):
    for line in coloured(text):
        assert all(piece for _, piece in line)
        assert {letter for letter, _ in line} <= set("csmkfbdp")
        assert all(a != b for (a, _), (b, _) in pairwise(line))


def test_colours():
    (line,) = coloured("@cached  # why")
    assert line == [("d", "@cached"), ("p", "  "), ("c", "# why")]
    (line,) = coloured("def len(x): return len('x') + 0x1F")
    assert [piece for piece in line if piece[0] != "p"] == [
        ("k", "def"), ("f", "len"), ("k", "return"), ("b", "len"), ("s", "'x'"), ("m", "0x1F"),
    ]  # fmt: skip
    lines = coloured('x = """one   \n  two\n\nthree"""; y')
    assert [line[-1] for line in lines if line] == [
        ("p", "   "), ("s", "  two"), ("p", "; y"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text[:3]))
def test_nasty_texts_take_little_work(text):
    began = time.process_time()
    lines = readable(text).split("\n")
    highlight.marks("\n".join(lines))
    own_words(text)
    own_words("def algorithm(" + text)
    assert time.process_time() - began < CPU_SECONDS


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
        values = [each for each in (mark.value, mark.low, mark.high) if each is not None]
        sizes = (drawn.width, drawn.height) if drawn.lying else (drawn.height, drawn.width)
        assert all(0 <= value <= sizes[0] for value in values)
        assert 0 <= mark.place <= sizes[1]
    assert 2 <= len(drawn.grid) <= 12


def test_an_interval_that_is_cut_says_so():
    bars = [
        Bar("0", "accepted", Measure(0.8, -1.7, 3.3)),
        Bar("1", "rejected", Measure(0.8, 0.7, 4)),
    ]
    for kind in ("accepted", "plain"):
        drawn = chart.draw([Bar(b.label, kind, b.measure) for b in bars], 760, 300)
        assert [(m.cut_low, m.cut_high) for m in drawn.marks] == [(True, True), (False, True)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"""Two steps: rewrite, refine."""\nx = 1', "Two steps: rewrite, refine."),
        ("# coding\n\n'''\nFirst.\nSecond.\n'''\n", "First."),
        ('import a\n\ndef improve_algorithm(a, b):\n    """Asks twice."""\n', "Asks twice."),
        ('def other(a):\n    """No."""\n', ""),
        ("x = 'no docstring'", ""),
        ('"""\u202eevil"""', "⟨U+202E⟩evil"),
    ],
)
def test_the_own_words_of_a_program(text, line):
    assert own_words(text) == line


def test_models_as_they_are_on_record(tmp_path):
    config = SimpleNamespace(lm="manual:folder", meta_lm=None)
    assert models.described(tmp_path, config) == (
        ("model", "manual:folder: replies that somebody wrote into files"),
    )
    facts = {"spec": "manual:folder", "about": "Opus \u202e wrote them", "served_as": ["a", "b"]}
    facts["prices"] = {"prompt": 2.5, "completion": 10.0, "source": "given"}
    document = {"sessions": [{"models": {"task": {}}}, {"models": {"task": facts, "meta": facts}}]}
    (tmp_path / "provenance.json").write_text(json.dumps(document))
    told = dict(models.described(tmp_path, config))
    assert told["about"] == models.about(tmp_path) == "Opus ⟨U+202E⟩ wrote them"
    assert told["served as"] == "a, b"
    assert told["prices"].startswith("$2.5 for a million prompt tokens")
    assert "source: given" in told["prices"]
    assert len(told) == 4
    document["sessions"][-1]["models"] = [1]
    (tmp_path / "provenance.json").write_text(json.dumps(document))
    assert models.about(tmp_path) == ""


@pytest.mark.parametrize(
    ("lm", "billed", "served"),
    [
        ("openai:gpt", True, True),
        ("local:small", False, True),
        ("manual:x", False, False),
        ("scripted:x", False, False),
        ("tape:x", False, False),
    ],
)
def test_only_a_server_writes_bills(lm, billed, served):
    config = SimpleNamespace(lm=lm, meta_lm=None)
    assert (models.billed(config), models.has_server(config)) == (billed, served)
    assert words.cost(0.0, billed) == ("$0.00" if billed else "not billed")


def test_effects_say_whether_it_happened():
    assert words.effect(["sandbox_flag"], False).startswith("Not seen to happen")
    assert words.effect(["sandbox_flag"], True).startswith("No effect")
    assert words.effect(["lookup", "system_module"], True) == words.effect(["lookup"], True)
    assert words.effect(["unheard_of"], True)


def test_each_kind_of_event_has_an_effect():
    from stop.audit.evidence import LEVELS

    assert {kind for kind, level in LEVELS.items() if level} == set(words._EFFECTS)


def test_samples_with_the_same_text_share_a_name():
    def sample(number, program):
        return SimpleNamespace(number=number, program_id=program)

    names = sample_names(
        {
            "no_warning": [sample(0, "x"), sample(3, "x"), sample(1, "y")],
            "warning": [sample(0, "x")],
        }
    )
    assert names == {
        "x": "samples 1, 4 without the warning; sample 1 with the warning",
        "y": "sample 2",
    }


def test_rates_begin_at_nothing():
    drawn = chart.draw([Bar("a", "rate", Measure(0.4, 0.118, 0.769))], 760, 300)
    assert [label for _, label in drawn.grid] == ["0.0", "0.2", "0.4", "0.6", "0.8"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "+0.250"),
        (-0.25, "−0.250"),
        (-0.0, "0.000"),
        (-0.0001, "−0.0001"),
        (-1e-9, "0.000"),
        (0.0003, "+0.0003"),
        (None, "–"),
    ],
)
def test_differences_as_people_read_them(value, text):
    assert words.signed(value) == text


def test_folders_and_keys_of_this_machine_stay_out():
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
