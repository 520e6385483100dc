"""Texts, diffs, colours, charts and words: properties of the parts of a report."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.report import chart, diffs, highlight, models, story, words
from stop.report.data import Bar, Gain, Measure
from stop.report.programs import _sample_names
from stop.report.scores import beyond
from stop.report.setup import shareable
from stop.report.steps import own_words
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
    own_words(text)
    own_words("def algorithm(" + text)
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


def test_an_interval_that_is_cut_says_so():
    bars = [
        Bar("0", "accepted", Measure(0.8, -1.7, 3.3)),
        Bar("1", "rejected", Measure(0.8, 0.7, 4)),
    ]
    for kind in ("accepted", "plain"):
        drawn = chart.draw([Bar(b.label, kind, b.measure) for b in bars], 760, 300)
        assert [(m.cut_low, m.cut_high) for m in drawn.marks] == [(True, True), (False, True)]


def test_an_interval_past_what_is_possible_has_a_sentence():
    assert beyond([Measure(0.8, 0.7, 0.9), Measure(0.8)], (0.0, 1.0)) == ()
    (note,) = beyond([Measure(0.8, 0.7, 1.1)], (0.0, 1.0))
    assert "0 to 1" in note
    assert beyond([Measure(0.8, 0.7, 1.1)], None) == ()


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


def test_what_is_told_of_models(tmp_path):
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


@pytest.mark.parametrize("repetitions", [2, 3])
def test_few_repetitions_are_told(repetitions):
    gain = Gain(
        Measure(0.5), Measure(0.6), Measure(0.1, 0.05, 0.15), 0.01, "repetitions",
        2 * repetitions, 2, repetitions,
    )  # fmt: skip
    facts = story.Facts("done", ["a", "b"], {}, 1, 1, "not billed", 1.0, {})
    told = " ".join(story.rounds_story(facts, gain, rounds=3, best_round=2, candidates=4).lead)
    assert f"paired t-test, stratified by task, over {repetitions} repetitions of 2 tasks" in told
    assert "Bonferroni's correction for 4 candidates" in told
    assert ("almost no gain" in told) == (repetitions < 3)
    assert story.distinguishable(gain, 4)
    assert not story.distinguishable(gain, 5)
    assert not story.distinguishable(None, 1)


def test_effects_say_whether_it_happened():
    assert words.effect(["sandbox_flag"], False).startswith("Not seen to happen")
    assert words.effect(["sandbox_flag"], True).startswith("No effect")
    assert words.effect(["lookup", "system_module"], True) == words.effect(["lookup"], True)
    assert words.effect(["unheard_of"], True)


def test_each_kind_of_a_deed_has_an_effect():
    from stop.audit.evidence import LEVELS

    assert {kind for kind, level in LEVELS.items() if level} == set(words._EFFECTS)


def test_samples_with_the_same_text_share_a_name():
    def sample(number, program):
        return SimpleNamespace(number=number, program_id=program)

    names = _sample_names(
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
